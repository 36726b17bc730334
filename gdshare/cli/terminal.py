"""Results on stdout, for people or programs, and options that many commands have."""

import json
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for programs.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, change nothing.")]
Device = Annotated[
    str,
    typer.Option(help="Where to compute: auto (a GPU if there is one), cpu, cuda, cuda:1, ..."),
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


def print_json(value: object) -> None:
    """Print a JSON document in ASCII, safe in any encoding; undefined figures are null."""
    typer.echo(json.dumps(value, indent=2))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table, with the first column left-aligned and the others right-aligned."""
    # As plain text: square brackets in the data are not markup.
    table = Table()
    for index, name in enumerate(columns):
        table.add_column(name, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    # A file or pipe has no width: do not cut the table to 80 columns there.
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(Text(title, "italic"), soft_wrap=True)
    console.print(table)
