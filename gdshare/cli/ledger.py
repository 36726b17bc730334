"""``gdshare ledger``: check and read what was done with bundles."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gdshare.bundle.attestation import MAX_BYTES, Receipt, read_signed
from gdshare.bundle.folder import read_plain
from gdshare.cli.operator import operator_name
from gdshare.cli.terminal import AsJson, print_json, print_table
from gdshare.errors import BundleError, UsageError
from gdshare.ledger import Anchor, head_of, open_ledger, read_ledger
from gdshare.release.publish import ledger_beside
from gdshare.release.receipts import anchor_in, record_receipt, require_says
from gdshare.signing import fingerprint, load_public_key

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


def verify(
    ledger: Ledger,
    anchor: Anchors = None,
    receipt: Annotated[
        list[Path] | None,
        typer.Option(
            help="A receipt that the aggregator gave: its ledger must still have that line, and "
            "say the same. May be given several times. Takes --key."
        ),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="The aggregator's public key, NAME.pub, for --receipt.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that no line was altered, taken out, put in or cut off.

    The ledger agrees with itself and with the head beside it. That somebody has written both anew
    is found only with --anchor, or with --receipt where it is an aggregator's. Write down the
    anchor that this prints, and keep it elsewhere.
    """
    if (key is None) != (not receipt):
        raise UsageError("--receipt and --key go together", remedy="give both, or neither")
    told = [_receipt(path, key) for path in receipt or () if key is not None]
    anchors = [*map(_anchor, anchor or ()), *(anchor_in(one) for one, _ in told)]
    entries = read_ledger(_there(ledger), anchors)
    for one, digest in told:
        require_says(entries, one, digest)
    head = head_of(entries)
    if as_json:
        return print_json({"lines": head.number, "sha256": head.sha256})
    typer.echo(f"lines   {head.number}, chained and whole")
    typer.echo(f"anchor  {head.number}:{head.sha256}")
    return None


def show(ledger: Ledger, anchor: Anchors = None, as_json: AsJson = False) -> None:
    """Check the ledger as verify does, then show its lines, the oldest first."""
    entries = read_ledger(_there(ledger), [_anchor(text) for text in anchor or ()])
    if as_json:
        return print_json([entry.model_dump(mode="json") for entry in entries])
    rows = [
        (
            entry.number,
            f"{entry.at:%Y-%m-%d %H:%M:%S}",
            entry.act,
            entry.what,
            entry.by,
            entry.why,
            entry.digest,
        )
        for entry in entries
    ]
    columns = ("line", "at (UTC)", "act", "what", "by", "why", "digest")
    print_table(f"{ledger}: {len(entries)} acts", columns, rows)
    return None


def receive(
    receipt: Annotated[Path, typer.Argument(help="The receipt, SITE-NUMBER.receipt.")],
    key: Annotated[Path, typer.Option(help="The aggregator's public key, NAME.pub.")],
    outbox: Annotated[Path, typer.Option(help="The hospital's, from which the bundle left.")],
    by: Annotated[
        str | None,
        typer.Option(help="Who takes it in. Without it: this computer's user."),
    ] = None,
) -> None:
    """Take an aggregator's receipt for a bundle into the hospital's ledger, OUTBOX-ledger.jsonl.

    It tells what became of the bundle, and names the line of the aggregator's ledger that says so.
    Keep the file: with it `gdshare ledger verify --receipt` finds out, even years later, whether
    the aggregator's ledger was written anew. Receipts come by mail or courier, never by the node.
    """
    told, digest = _receipt(receipt, key)
    signer, who = fingerprint(load_public_key(key)), operator_name(by)
    with open_ledger(ledger_beside(outbox)) as book:
        can_be = record_receipt(told, digest, signer, book, who, datetime.now(UTC))
    typer.echo(f"{told.verdict:<10} {told.name}{f'  {told.reason}' if told.reason else ''}")
    typer.echo(f"by         {told.aggregator}, {told.at:%Y-%m-%d %H:%M:%S} UTC")
    typer.echo(f"digest     {digest}")
    typer.echo(f"line       {told.line}:{told.sha256}")
    if not can_be:
        typer.echo(
            f"WARNING: this hospital never withdrew {told.name}: somebody else has its key; call "
            f"{told.aggregator} and have the key revoked"
        )


def _receipt(path: Path, key: Path) -> tuple[Receipt, str]:
    try:
        return read_signed(read_plain(path, MAX_BYTES), load_public_key(key), Receipt)
    except BundleError as fault:
        raise fault.at(path) from fault


def _there(ledger: Path) -> Path:
    """To a reader of nothing an empty ledger would look sound."""
    if not ledger.is_file():
        raise UsageError("no such ledger", ledger, "check the path")
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
    ledger.command()(receive)
    app.add_typer(ledger, name="ledger")
