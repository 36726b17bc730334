"""``gdshare federation``: a module per command."""

import typer

from aggregator.setup.commands.check import check
from aggregator.setup.commands.examine import doctor
from aggregator.setup.commands.make import init
from aggregator.setup.commands.revoke import revoke
from aggregator.setup.commands.sign import renew, sign

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add ``federation`` and its commands to the app."""
    federation = typer.Typer(no_args_is_help=True, help="The aggregator's machine, set up safely.")
    federation.command()(init)
    federation.command()(sign)
    federation.command()(renew)
    federation.command()(revoke)
    federation.command()(check)
    federation.command()(doctor)
    app.add_typer(federation, name="federation")
