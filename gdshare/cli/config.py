"""``gdshare config``: write a ``gdshare.toml``, and show what commands take from it."""

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from gdshare.cli.terminal import AsJson, print_facts, print_json, print_line, print_table
from gdshare.config import KEYS, Config, Value, read_config, variable
from gdshare.config.file import NAME
from gdshare.config.template import new_config
from gdshare.errors import UsageError
from gdshare.next_steps.command import Command
from gdshare.signing.names import SITE
from gdshare.storage import write_bytes

READABLE = 0o644
"""Nothing in it is secret, and nobody else may write it, whatever folder it lies in."""


def new(
    site: Annotated[
        str | None, typer.Option(help="At a hospital: its short name, visible to the others.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="At an aggregator: its short name, for hospitals.")
    ] = None,
    out: Annotated[Path, typer.Option(help="File to write.")] = Path(NAME),
    as_json: AsJson = False,
) -> None:
    """Write a gdshare.toml for a hospital or an aggregator, every key with its meaning.

    Commands started in its folder, or below it, then take from it what you do not type. Edit it: a
    line that begins with # gives nothing. Nothing is overwritten.
    """
    if (site is None) == (name is None):
        raise UsageError(
            "gives a name for one of the two", "--site or --name", "give --site at a hospital"
        )
    short = site or name or ""
    if re.fullmatch(SITE, short) is None:
        option = "--site" if name is None else "--name"
        raise UsageError(
            "is no short name",
            f"{option} {short!r:.50}",
            "use lower-case letters, digits and hyphens, 32 characters at most",
        )
    if os.path.lexists(out):
        raise UsageError("already exists", out, "edit it, or choose another --out")
    write_bytes(out, new_config("hospital" if name is None else "aggregator", short), READABLE)
    out.chmod(READABLE)  # in a folder that a group shares, the group could write it
    print_facts({"written": out}, as_json, Command("config show"))


def show(as_json: AsJson = False) -> None:
    """Show each key, its value and where that comes from: the environment, the file, or nowhere.

    An error in the file, or a file that other users can write, is shown as the commands refuse it.
    """
    config = read_config(os.environ, Path())
    if config.fault is not None:
        raise config.fault
    rows = {name: _value(name, config) for name in KEYS}
    if as_json:
        return print_json(
            {
                "file": str(config.path) if config.path else None,
                "keys": {
                    name: {"value": value, "from": source} for name, (value, source) in rows.items()
                },
            }
        )
    if config.path is None:
        print_line(f"no {NAME} from here upward; gdshare config new writes one")
    print_table(
        f"{config.place}: what commands take for what is not typed",
        ("key", "value", "from", "meaning"),
        [
            (name, "-" if value is None else value, source or "-", KEYS[name].meaning)
            for name, (value, source) in rows.items()
        ],
    )
    return None


def _value(name: str, config: Config) -> tuple[Value | None, str | None]:
    """A key's value and its source."""
    if os.environ.get(variable(name)):
        return os.environ[variable(name)], variable(name)
    if name in config.values:
        return config.values[name], str(config.path)
    return None, None


def register(app: typer.Typer) -> None:
    """Add ``config`` and its commands to the app."""
    config = typer.Typer(no_args_is_help=True, help="What commands take for options not typed.")
    config.command()(new)
    config.command()(show)
    app.add_typer(config, name="config")
