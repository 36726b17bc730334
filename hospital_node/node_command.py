"""``gdshare node``: the same as ``python -m hospital_node``, and its set-up."""

import typer

from gdshare.cli.defaults import with_defaults
from hospital_node.__main__ import main

SETUP = ("init", "certificate", "doctor")


def node(context: typer.Context) -> None:
    """Connect this hospital to rounds: hand over what was released, and count films.

    gdshare node node.toml --superlink HOST:PORT, as python -m hospital_node does;
    gdshare node --help lists its options. It runs until Ctrl-C, and only the code installed here.
    Once, before: gdshare node init, gdshare node certificate; at any time: gdshare node doctor.
    """
    if context.args and context.args[0] in SETUP:
        _set_up(context)
    else:
        main(context.args, "gdshare node")


def _set_up(context: typer.Context) -> None:
    """Run one of the set-up's commands; a settings file of such a name is ``./init``."""
    from hospital_node.setup.command import setup_app  # noqa: PLC0415 - the node itself needs none

    command = typer.main.get_command(setup_app())
    config = context.find_root().obj
    defaults = with_defaults(command, config) if config is not None else None
    status = command(
        args=context.args,
        prog_name="gdshare node",
        standalone_mode=False,
        default_map=defaults,
        obj=config,
    )
    if status:
        raise typer.Exit(status)


def register(app: typer.Typer) -> None:
    """Add ``node`` to ``gdshare``; every word after it is the node's own."""
    app.command(
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(node)
