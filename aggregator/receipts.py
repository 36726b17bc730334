"""Signed receipts: one for each bundle that was admitted, quarantined, refused or withdrawn.

The command signs them after the round, for the lines that the round added to the ledger. The round
itself runs in one of Flower's processes, which gets neither key nor passphrase.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.errors import LedgerError, LockedError
from gdshare.ledger import Anchor, Entry, head_of, read_ledger
from gdshare.release.receipts import receipt_of
from gdshare.storage import write_bytes

SUFFIX = ".receipt"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Signer:
    """The aggregator: its short name and its private key."""

    name: str
    key: ec.EllipticCurvePrivateKey


def signed_receipts(entries: Sequence[Entry], signer: Signer) -> dict[str, bytes]:
    """Sign what lines of the ledger say of bundles.

    A bundle that was not verified has neither a digest nor a proven hospital, so it gets no
    receipt. If several lines say the same of a bundle, the first gets one.

    Returns:
        file name -> content: ``SITE-SEQUENCE.receipt``, and ``SITE-SEQUENCE.LINE.receipt`` for a
        further verdict on that bundle, or on another of that name.
    """
    files: dict[str, bytes] = {}
    verdicts: set[tuple[str, str, str, str]] = set()
    for entry in entries:
        receipt = receipt_of(entry, signer.name)
        if receipt is None or entry.digest is None:
            continue
        verdict = (receipt.name, entry.digest, receipt.verdict, receipt.reason)
        if verdict in verdicts:
            continue
        verdicts.add(verdict)
        name = f"{receipt.name}{SUFFIX}"
        if name in files:
            name = f"{receipt.name}.{receipt.line}{SUFFIX}"
        files[name] = receipt.signed(entry.digest, signer.key)
    return files


@contextmanager
def receipts_for(
    ledger: Path, folder: Path, signer: Signer | None, before: Anchor | None = None
) -> Iterator[None]:
    """Sign receipts for the lines that the block adds to the ledger, also if it fails.

    Args:
        ledger: the aggregator's.
        folder: for the receipts; made if there are any.
        signer: None: no receipts.
        before: the last line before the round, where the block goes on with one; None: the last
            line now.

    Raises:
        LedgerError: the lines from before the block have changed.
    """
    if signer is None:
        yield
        return
    before = before or head_of(read_ledger(ledger))
    try:
        yield
    except BaseException:  # a failed round has recorded its refusals all the same
        with suppress(LedgerError, LockedError, OSError):
            sign_since(before, ledger, folder, signer)
        raise
    sign_since(before, ledger, folder, signer)


def sign_since(
    before: Anchor, ledger: Path, folder: Path, signer: Signer, end: int | None = None
) -> list[str]:
    """Sign receipts for the lines of a ledger after one.

    Args:
        before: the line's anchor.
        ledger: the aggregator's.
        folder: for the receipts; made if there are any.
        signer: the aggregator.
        end: number of the last line that counts; None: the ledger's last.

    Returns:
        the receipts' file names.

    Raises:
        LedgerError: that line, or one before it, has changed.
    """
    entries = read_ledger(ledger, [before] if before.number else [])
    receipts = signed_receipts(entries[before.number : end], signer)
    _write(folder, receipts)
    return sorted(receipts)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    if files:
        folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_bytes(folder / name, content)
    log.info("signed %d receipts%s", len(files), _where(folder) if files else "")


def _where(folder: Path) -> str:
    return f" in {folder}: send each to its hospital"
