"""Receipts: made of a line of the aggregator's ledger, kept in a line of the hospital's.

A receipt says what one line says and nothing else, and names it by number and SHA-256. So the
hospital, or whoever it asks, can hold the aggregator's ledger to it later.
"""

from collections.abc import Sequence
from datetime import datetime

from gdshare.bundle.attestation import Receipt
from gdshare.errors import LedgerError, UsageError
from gdshare.ledger import Anchor, Entry, Ledger, anchor_of
from gdshare.release.withdraw import Released, released_by, withdrawn_by

RECEIPT = "receipt"
_VERDICTS = {
    "admit": "admitted",
    "refuse": "refused",
    "quarantine": "quarantined",
    "withdraw": "withdrawn",
}


def receipt_of(entry: Entry, aggregator: str) -> Receipt | None:
    """Say what a line of an aggregator's ledger says of a bundle; None where it tells of none."""
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
    except ValueError:  # of a node or a hospital, and of no one bundle
        return None


def anchor_in(told: Receipt) -> Anchor:
    """What a ledger must agree with if the receipt is to be true."""
    return Anchor(told.line, told.sha256)


def require_says(entries: Sequence[Entry], told: Receipt, digest: str) -> None:
    """Refuse a ledger whose line says something else than the receipt that was given for it.

    Args:
        entries: of the aggregator's ledger, which agrees with ``anchor_in(told)``.
        told: the receipt.
        digest: of the bundle that it is for.

    Raises:
        LedgerError: naming the line.
    """
    entry = entries[told.line - 1]
    if entry.digest != digest or receipt_of(entry, told.aggregator) != told:
        raise LedgerError(
            f"line {told.line} does not say what {told.aggregator} gave a receipt for: "
            f"{told.name} {_verdict(told)}",
            remedy=f"ask {told.aggregator} which of the two is true",
        )


def take_in(
    told: Receipt, digest: str, signer: str, ledger: Ledger, by: str, now: datetime
) -> bool:
    """Add a receipt to the hospital's ledger.

    Args:
        told: the receipt, whose signature is good.
        digest: of the bundle that it is for.
        signer: fingerprint of the aggregator's key.
        ledger: the hospital's, held open.
        by: who takes it in.
        now: UTC.

    Returns:
        Whether what it says can be: False where the aggregator has the bundle as withdrawn and
        this hospital never withdrew it, so that somebody else has its key.

    Raises:
        UsageError: for another hospital's bundle, for one that was never released by this ledger,
            or taken in before.
        LedgerError: the ledger cannot be written to.
    """
    known, one = released_by(ledger.entries), Released(told.name, digest)
    sites = sorted({other.name.rpartition("-")[0] for other in known})
    if told.site not in sites:
        raise UsageError(
            f"a receipt for a bundle of {told.site}, and this ledger has released "
            f"bundles of {', '.join(sites) or 'nobody'}",
            remedy="give it to whom it is for",
        )
    if one not in known:
        raise UsageError(
            f"a receipt for {told.name} of digest {digest}, which this ledger has never released",
            remedy=f"ask {told.aggregator} who handed that in",
        )
    why = (
        f"{told.aggregator}: {_verdict(told)}, line {told.line} {told.sha256} of its ledger, "
        f"signed with {signer}"
    )
    if any(
        (entry.act, entry.digest, entry.why) == (RECEIPT, digest, why) for entry in ledger.entries
    ):
        raise UsageError(f"this receipt for {told.name} is in the ledger already")
    ledger.write(now, RECEIPT, by, told.name, digest, why)
    return told.verdict != "withdrawn" or withdrawn_by(ledger.entries, one) is not None


def _verdict(told: Receipt) -> str:
    return f"{told.verdict}{f' ({told.reason})' if told.reason else ''}"
