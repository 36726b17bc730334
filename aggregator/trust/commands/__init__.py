"""``gdshare trust``: whose bundles the aggregator trusts; a module per command.

``next_steps`` is what ``gdshare next`` asks this side of the bar.
"""

import typer

from aggregator.trust.commands.accept import accept
from aggregator.trust.commands.add import add
from aggregator.trust.commands.revoke import revoke
from aggregator.trust.commands.show import show
from aggregator.trust.commands.withdrawn import withdrawn
from aggregator.trust.waiting import next_steps

__all__ = ["next_steps", "register"]


def register(app: typer.Typer) -> None:
    """Add ``trust`` and its commands to the app."""
    trust = typer.Typer(no_args_is_help=True, help="Whose bundles the aggregator trusts.")
    trust.command()(add)
    trust.command()(revoke)
    trust.command()(accept)
    trust.command("list")(show)
    trust.command()(withdrawn)
    app.add_typer(trust, name="trust")
