"""Withdrawing a bundle: first the ledger, then the withdrawal, then the bundle is deleted.

::

    1  the ledger's line
    2  OUTBOX/SITE-SEQUENCE.withdrawal, signed; from here on the node no longer sends the bundle
    3  the bundle's folder renamed out of sight, then deleted

If a step is interrupted, withdraw again: the withdrawal repeats the ledger's line, so every attempt
writes the same file. It takes one person and no policy; only the key is checked, where ledger or
bundle name it (``own_key``).
"""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from gdshare.bundle.attestation import MAX_REASON, Withdrawal
from gdshare.bundle.manifest import first_problem
from gdshare.bundle.outbox import WITHDRAWAL
from gdshare.errors import UsageError
from gdshare.ledger import Entry, Ledger
from gdshare.release.publish import RELEASE, WITHDRAW
from gdshare.signing.names import hour_of
from gdshare.storage import make_folder, sync_folder, write_bytes


@dataclass(frozen=True)
class Released:
    """A bundle that was released, according to a ledger.

    Attributes:
        name: ``SITE-SEQUENCE``.
        digest: of its content.
    """

    name: str
    digest: str


def released_bundles(entries: Iterable[Entry]) -> tuple[Released, ...]:
    """All released bundles, the oldest first, still in the outbox or not."""
    return tuple(
        dict.fromkeys(
            Released(entry.what, entry.digest)
            for entry in entries
            if entry.act == RELEASE and entry.digest is not None
        )
    )


def find_withdrawal(entries: Sequence[Entry], bundle: Released) -> Entry | None:
    """The entry by which a bundle was withdrawn, if it was."""
    withdrawal = (WITHDRAW, bundle.name, bundle.digest)
    matches = (entry for entry in entries if (entry.act, entry.what, entry.digest) == withdrawal)
    return next(matches, None)


def find_release(entries: Sequence[Entry], bundle: Released) -> Entry:
    """The last entry by which a bundle was released."""
    release = (RELEASE, bundle.name, bundle.digest)
    matches = (entry for entry in entries if (entry.act, entry.what, entry.digest) == release)
    return list(matches)[-1]


def withdraw(
    bundle: Released,
    reason: str,
    outbox: Path,
    ledger: Ledger,
    by: str,
    now: datetime,
    key: ec.EllipticCurvePrivateKey,
) -> Path:
    """Withdraw a bundle, or complete an interrupted withdrawal.

    Args:
        bundle: the bundle.
        reason: for everybody who receives the withdrawal; after an interruption, the ledger's.
        outbox: the outbox it was released into.
        ledger: of the outbox, locked.
        by: who withdraws it.
        now: UTC.
        key: the hospital's.

    Returns:
        The withdrawal, in the outbox.

    Raises:
        UsageError: a reason that is not allowed; or the outbox cannot be written to.
        LedgerError: the ledger cannot be written to; nothing was changed.
    """
    _withdrawal(bundle, now, reason)
    entry = find_withdrawal(ledger.entries, bundle)
    if entry is None:
        ledger.write(now, WITHDRAW, by, bundle.name, bundle.digest, reason)
        entry = ledger.entries[-1]
    signed = _withdrawal(bundle, entry.at, entry.why).signed(bundle.digest, key)
    path = outbox / f"{bundle.name}{WITHDRAWAL}"
    try:
        make_folder(outbox)
        write_bytes(path, signed)
        _delete_bundle(outbox / bundle.name)
    except OSError as error:
        raise UsageError(
            f"cannot be changed ({error.strerror}), so {bundle.name} may still be "
            "sent, although the ledger says that it is withdrawn",
            outbox,
            "correct that and withdraw it again",
        ) from error
    return path


def _withdrawal(bundle: Released, moment: datetime, reason: str) -> Withdrawal:
    site, _, sequence = bundle.name.rpartition("-")
    try:
        return Withdrawal(site=site, sequence=int(sequence), at=hour_of(moment), reason=reason)
    except ValidationError as error:
        raise UsageError(
            f"this withdrawal cannot be written: {first_problem(error)}",
            remedy=f"give a reason of at most {MAX_REASON} printable ASCII characters, or none",
        ) from None


def _delete_bundle(folder: Path) -> None:
    """Rename it out of sight at once, then delete it; what an earlier attempt left, too."""
    aside = folder.with_name(f".{folder.name}.withdrawn")
    _delete(aside)
    if folder.is_symlink() or folder.exists():
        folder.rename(aside)
        sync_folder(folder.parent)
        _delete(aside)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
