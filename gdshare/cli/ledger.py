"""``gdshare ledger``: check, read and extend the record of what was done with bundles."""

import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gdshare.bundle.attestation import MAX_BYTES, Receipt, read_signed
from gdshare.bundle.folder import read_plain
from gdshare.cli.operator import operator_name
from gdshare.cli.terminal import (
    AsJson,
    print_facts,
    print_json,
    print_line,
    print_table,
)
from gdshare.config import variable
from gdshare.errors import BundleError, UsageError
from gdshare.ledger import Anchor, head_of, open_ledger, read_ledger
from gdshare.release.publish import ledger_beside
from gdshare.release.receipts import anchor_in, record_receipt, require_says
from gdshare.signing import fingerprint, load_public_key

log = logging.getLogger(__name__)

_ANCHOR = re.compile(r"([1-9][0-9]{0,8}):([0-9a-f]{64})")

Ledger = Annotated[
    Path, typer.Argument(envvar=variable("ledger"), metavar="LEDGER", help="The file.")
]
Anchors = Annotated[
    list[str] | None,
    typer.Option(
        "--anchor",
        metavar="NUMBER:SHA256",
        help="A line's number and hash from an independent copy, such as a receipt or a note on "
        "paper. Repeatable.",
    ),
]


def verify(
    ledger: Ledger,
    anchor: Anchors = None,
    receipt: Annotated[
        list[Path] | None,
        typer.Option(
            help="An aggregator's receipt: its ledger must still contain that line, unchanged. "
            "Repeatable. Needs --key."
        ),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="The aggregator's public key, NAME.pub, for --receipt.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that no line was altered, removed, inserted or cut off.

    This compares the ledger with itself and with the head file beside it. Only --anchor, or
    --receipt for an aggregator's ledger, detects that both were rewritten. Write down the anchor
    that this prints, and keep it elsewhere.
    """
    if (key is None) != (not receipt):
        raise UsageError("--receipt and --key need each other", remedy="give both, or neither")
    receipts = [_receipt(path, key) for path in receipt or () if key is not None]
    anchors = [*map(_anchor, anchor or ()), *(anchor_in(signed) for signed, _ in receipts)]
    entries = read_ledger(_existing(ledger), anchors)
    for signed, digest in receipts:
        require_says(entries, signed, digest)
    head = head_of(entries)
    if as_json:
        return print_json({"lines": head.number, "sha256": head.sha256})
    print_line(f"lines   {head.number}, chained and complete")
    print_line(f"anchor  {head.number}:{head.sha256}")
    return None


def show(ledger: Ledger, anchor: Anchors = None, as_json: AsJson = False) -> None:
    """Check the ledger as verify does, then show its lines, oldest first."""
    entries = read_ledger(_existing(ledger), [_anchor(text) for text in anchor or ()])
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
    print_table(f"{ledger}: {len(entries)} lines", columns, rows)
    return None


def receive(
    receipt: Annotated[Path, typer.Argument(help="The receipt, SITE-NUMBER.receipt.")],
    key: Annotated[Path, typer.Option(help="The aggregator's public key, NAME.pub.")],
    outbox: Annotated[
        Path, typer.Option(envvar=variable("outbox"), help="The outbox that the bundle left from.")
    ],
    by: Annotated[
        str | None,
        typer.Option(help="Your name for the ledger. Default: this computer's user."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Record an aggregator's receipt for a bundle in the hospital's ledger, OUTBOX-ledger.jsonl.

    The receipt states the verdict and names the line of the aggregator's ledger that records it.
    Keep the file: even years later, gdshare ledger verify --receipt can detect with it that the
    aggregator rewrote its ledger. Receipts arrive by mail or courier, never through the node.
    """
    verdict, digest = _receipt(receipt, key)
    signer, operator = fingerprint(load_public_key(key)), operator_name(by)
    with open_ledger(ledger_beside(outbox)) as book:
        plausible = record_receipt(verdict, digest, signer, book, operator, datetime.now(UTC))
    facts: dict[str, object] = {
        verdict.verdict: verdict.name,
        "reason": verdict.reason or None,
        "by": f"{verdict.aggregator}, {verdict.at:%Y-%m-%d %H:%M:%S} UTC",
        "digest": digest,
        "line": f"{verdict.line}:{verdict.sha256}",
    }
    if as_json:
        facts |= {"verdict": verdict.verdict, "bundle": verdict.name, "plausible": plausible}
    print_facts(facts, as_json)
    if not plausible:
        log.warning(
            "WARNING: this hospital never withdrew %s, so somebody else has its key; call %s and "
            "have the key revoked",
            verdict.name,
            verdict.aggregator,
        )


def _receipt(path: Path, key: Path) -> tuple[Receipt, str]:
    try:
        return read_signed(read_plain(path, MAX_BYTES), load_public_key(key), Receipt)
    except BundleError as fault:
        raise fault.at(path) from fault


def _existing(ledger: Path) -> Path:
    """A missing ledger would pass as an empty one."""
    if not ledger.is_file():
        raise UsageError("no such ledger", ledger, "check the path")
    return ledger


def _anchor(text: str) -> Anchor:
    match = _ANCHOR.fullmatch(text)
    if match is None:
        raise UsageError(
            "not an anchor",
            f"--anchor {text}",
            "give NUMBER:SHA256 as gdshare ledger verify prints it",
        )
    return Anchor(int(match[1]), match[2])


def register(app: typer.Typer) -> None:
    """Add ``ledger`` and its commands to the app."""
    ledger = typer.Typer(no_args_is_help=True, help="Who did what to which bundle, and when.")
    ledger.command()(verify)
    ledger.command()(show)
    ledger.command()(receive)
    app.add_typer(ledger, name="ledger")
