"""``gdshare ledger``: check and read what was done with bundles."""

import re
from pathlib import Path
from typing import Annotated

import typer

from gdshare.cli.terminal import AsJson, print_json, print_table
from gdshare.errors import UsageError
from gdshare.ledger import Anchor, head_of, read_ledger

_ANCHOR = re.compile(r"([1-9][0-9]{0,8}):([0-9a-f]{64})")

Ledger = Annotated[Path, typer.Argument(metavar="LEDGER", help="The file.")]
Anchors = Annotated[
    list[str] | None,
    typer.Option(
        "--anchor",
        metavar="NUMBER:SHA256",
        help="A line as somebody else knows it, from a receipt or from paper; may be given "
        "several times.",
    ),
]


def verify(ledger: Ledger, anchor: Anchors = None, as_json: AsJson = False) -> None:
    """Check that no line was altered, taken out, put in or cut off.

    The ledger agrees with itself and with the head beside it. That somebody has written both anew
    is found only with --anchor. Write down the anchor that this prints, and keep it elsewhere.
    """
    acts = read_ledger(_there(ledger), [_anchor(text) for text in anchor or ()])
    head = head_of(acts)
    if as_json:
        return print_json({"lines": head.number, "sha256": head.sha256})
    typer.echo(f"lines   {head.number}, chained and whole")
    typer.echo(f"anchor  {head.number}:{head.sha256}")
    return None


def show(ledger: Ledger, anchor: Anchors = None, as_json: AsJson = False) -> None:
    """Check the ledger as verify does, then show its lines, the oldest first."""
    acts = read_ledger(_there(ledger), [_anchor(text) for text in anchor or ()])
    if as_json:
        return print_json([act.model_dump(mode="json") for act in acts])
    rows = [
        (act.number, f"{act.at:%Y-%m-%d %H:%M:%S}", act.act, act.what, act.by, act.why, act.digest)
        for act in acts
    ]
    columns = ("line", "at (UTC)", "act", "what", "by", "why", "digest")
    print_table(f"{ledger}: {len(acts)} acts", columns, rows)
    return None


def _there(ledger: Path) -> Path:
    """To a reader of nothing an empty ledger would look sound."""
    if not ledger.is_file():
        raise UsageError(f"{ledger}: no such ledger; check the path")
    return ledger


def _anchor(text: str) -> Anchor:
    told = _ANCHOR.fullmatch(text)
    if told is None:
        raise UsageError(
            f"--anchor {text}: give a line's number, a colon and 64 hexadecimal digits, as gdshare "
            "ledger verify prints them"
        )
    return Anchor(int(told[1]), told[2])


def register(app: typer.Typer) -> None:
    """Add ``ledger`` and its commands to the app."""
    ledger = typer.Typer(no_args_is_help=True, help="Who did what to which bundle, and when.")
    ledger.command()(verify)
    ledger.command()(show)
    app.add_typer(ledger, name="ledger")
