"""``gdshare nodes``: which node is whose; a module per command."""

import typer

from aggregator.nodes.commands.add import add
from aggregator.nodes.commands.remove import remove
from aggregator.nodes.commands.show import show

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add ``nodes`` and its commands to the app."""
    nodes = typer.Typer(no_args_is_help=True, help="The hospitals' nodes at the SuperLink.")
    nodes.command()(add)
    nodes.command("list")(show)
    nodes.command()(remove)
    app.add_typer(nodes, name="nodes")
