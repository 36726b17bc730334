"""Receipts: made from a line of the aggregator's ledger, recorded in a line of the hospital's.

A receipt states what one line states, and names it by number and SHA-256. So the hospital, or
anybody it asks, can check the aggregator's ledger against it later.
"""

from collections.abc import Sequence
from datetime import datetime

from gdshare.bundle.attestation import Receipt
from gdshare.errors import LedgerError, UsageError
from gdshare.ledger import Anchor, Entry, Ledger, anchor_of
from gdshare.release.withdraw import Released, find_withdrawal, released_bundles

RECEIPT = "receipt"
_VERDICTS = {
    "admit": "admitted",
    "refuse": "refused",
    "quarantine": "quarantined",
    "withdraw": "withdrawn",
}


def receipt_of(entry: Entry, aggregator: str) -> Receipt | None:
    """The receipt for a line of an aggregator's ledger; None where the line is about no bundle."""
    if entry.act not in _VERDICTS or entry.digest is None:
        return None
    verdict, line = _VERDICTS[entry.act], anchor_of(entry)
    site, _, sequence = entry.what.rpartition("-")
    try:
        return Receipt(
            site=site,
            sequence=int(sequence),
            at=entry.at,
            aggregator=aggregator,
            verdict=verdict,  # type: ignore[arg-type]  # checked by the model
            reason=entry.why.partition(":")[0] if verdict == "refused" else "",
            line=line.number,
            sha256=line.sha256,
        )
    except ValueError:  # about a node or a hospital
        return None


def anchor_in(receipt: Receipt) -> Anchor:
    """The line that the aggregator's ledger must still have."""
    return Anchor(receipt.line, receipt.sha256)


def require_says(entries: Sequence[Entry], receipt: Receipt, digest: str) -> None:
    """Refuse a ledger whose line differs from the receipt that was given for it.

    Args:
        entries: of the aggregator's ledger, which matches ``anchor_in(receipt)``.
        receipt: the receipt.
        digest: of the bundle it is for.

    Raises:
        LedgerError: naming the line.
    """
    entry = entries[receipt.line - 1]
    if entry.digest != digest or receipt_of(entry, receipt.aggregator) != receipt:
        raise LedgerError(
            f"line {receipt.line} does not say what {receipt.aggregator} gave a receipt for: "
            f"{receipt.name} {_verdict(receipt)}",
            remedy=f"ask {receipt.aggregator} which of the two is true",
        )


def record_receipt(
    receipt: Receipt, digest: str, signer: str, ledger: Ledger, by: str, now: datetime
) -> bool:
    """Add a receipt to the hospital's ledger.

    Args:
        receipt: the receipt; its signature is good.
        digest: of the bundle it is for.
        signer: fingerprint of the aggregator's key.
        ledger: the hospital's, locked.
        by: who records it.
        now: UTC.

    Returns:
        Whether the receipt agrees with this ledger: False where the aggregator recorded a
        withdrawal that this hospital never made, so that somebody else has its key.

    Raises:
        UsageError: for another hospital's bundle, for one that this ledger never released, or
            recorded before.
        LedgerError: the ledger cannot be written to.
    """
    released, bundle = released_bundles(ledger.entries), Released(receipt.name, digest)
    sites = sorted({other.name.rpartition("-")[0] for other in released})
    if receipt.site not in sites:
        raise UsageError(
            f"a receipt for a bundle of {receipt.site}, but this ledger released "
            f"bundles of {', '.join(sites) or 'nobody'}",
            remedy="give it to the hospital it is for",
        )
    if bundle not in released:
        raise UsageError(
            f"a receipt for {receipt.name} of digest {digest}, which this ledger never released",
            remedy=f"ask {receipt.aggregator} who sent that bundle",
        )
    why = (
        f"{receipt.aggregator}: {_verdict(receipt)}, line {receipt.line} {receipt.sha256} of its "
        f"ledger, signed with {signer}"
    )
    recorded = {(entry.act, entry.digest, entry.why) for entry in ledger.entries}
    if (RECEIPT, digest, why) in recorded:
        raise UsageError(f"this receipt for {receipt.name} is in the ledger already")
    ledger.write(now, RECEIPT, by, receipt.name, digest, why)
    return receipt.verdict != "withdrawn" or find_withdrawal(ledger.entries, bundle) is not None


def _verdict(receipt: Receipt) -> str:
    return f"{receipt.verdict}{f' ({receipt.reason})' if receipt.reason else ''}"
