"""``gdshare node``: the same as ``python -m hospital_node``."""

import typer

from hospital_node.__main__ import main


def node(context: typer.Context) -> None:
    """Connect this hospital to rounds: hand over what was released, and count films.

    gdshare node node.toml --superlink HOST:PORT, as python -m hospital_node does;
    gdshare node --help lists its options. It runs until Ctrl-C, and only the code installed here.
    """
    main(context.args, "gdshare node")


def register(app: typer.Typer) -> None:
    """Add ``node`` to ``gdshare``; every word after it is the node's own."""
    app.command(
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(node)
