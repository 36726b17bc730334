"""Results on stdout, for people or programs, and options that many commands have.

Whatever is printed is escaped here. The commands print with these functions and with the log, never
with ``print`` or ``typer.echo``; the linter sees to it.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import click
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gdshare.config import variable
from gdshare.escaping import escaped, escaped_json
from gdshare.next_steps.command import Command, spell

GO_ON = "go on with"
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for programs.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, change nothing.")]
Device = Annotated[
    str,
    typer.Option(
        envvar=variable("device"),
        help="Where to compute: auto (a GPU if there is one), cpu, cuda, cuda:1, ...",
    ),
]


def resolve_device(name: str) -> str:
    """Turn ``auto`` into this machine's device, and check any other name.

    Raises:
        UsageError: torch cannot compute there.
    """
    import torch

    from gdshare.networks import require_device

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    require_device(name)
    return name


def print_line(line: str) -> None:
    """Print one line; a newline in it is escaped like any other control character."""
    print_text(f"{escaped(line)}\n")


def print_text(text: str, err: bool = False) -> None:
    """Print a text of several lines, to stderr if ``err``."""
    typer.echo(escaped(text, keep="\n"), nl=False, err=err)  # noqa: TID251 - the one place


def ask(question: str, hidden: bool = False, twice: bool = False) -> str:
    """Ask on stderr, for a secret if ``hidden``, which is asked for again if ``twice``."""
    answer: str = typer.prompt(  # noqa: TID251 - the one place
        escaped(question), hide_input=hidden, confirmation_prompt=twice, err=True
    )
    return answer


def print_json(value: object) -> None:
    """Print a JSON document in ASCII, safe in any encoding; undefined figures are null."""
    print_text(escaped_json(value))


def print_next(command: Command, note: str = "") -> None:
    """Print the command that usually comes next, without what need not be typed."""
    print_line(f"{GO_ON}  {spelled(command)}{note}")


def spelled(command: Command) -> str:
    """A command line as it has to be typed here, where ``gdshare.toml`` may give some of it."""
    context = click.get_current_context(silent=True)
    config = context.find_root().obj if context is not None else None
    return spell(command, config.with_environment(os.environ) if config is not None else {})


def print_facts(facts: Mapping[str, object], as_json: bool, go_on: Command | None = None) -> None:
    """Print what a command did: a line for each fact, or one JSON object.

    Args:
        facts: label -> value; None is left out of the lines. In JSON a label is a name, such as
            ``signed_with`` for ``signed with``, without what stands in brackets.
        as_json: print JSON.
        go_on: the command that usually comes next; only for people.
    """
    if as_json:
        return print_json(
            {label.partition(" (")[0].replace(" ", "_"): _plain(v) for label, v in facts.items()}
        )
    lines = {label: value for label, value in facts.items() if value is not None}
    if go_on is not None:
        lines[GO_ON] = spelled(go_on)
    width = max(len(label) for label in lines)
    for label, value in lines.items():
        print_line(f"{label:<{width}}  {value}")
    return None


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table, with the first column left-aligned and the others right-aligned."""
    # As plain text: square brackets in the data are not markup.
    table = Table()
    for index, name in enumerate(columns):
        table.add_column(name, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*(Text(escaped(cell)) for cell in row))
    # A file or pipe has no width: do not cut the table to 80 columns there.
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(Text(escaped(title), "italic"), soft_wrap=True)
    console.print(table)
