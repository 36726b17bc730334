"""Taking a bundle back: first into the ledger, then beside the bundle, then the bundle away.

::

    1  the ledger's line
    2  OUTBOX/SITE-SEQUENCE.withdrawal, signed; from here on the node hands the bundle over no more
    3  the bundle's folder renamed out of sight, then deleted

Whoever is stopped in between runs it again: what the line says is signed as it stands there, so
that each attempt leaves the same file. It takes one person and no policy, and asks of the bundle
only whose key signed it, where that can be read.
"""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from gdshare.bundle.attestation import MAX_REASON, Withdrawal
from gdshare.bundle.folder import read_plain
from gdshare.bundle.layout import BOUNDS, SIGNATURE
from gdshare.bundle.manifest import first_problem
from gdshare.bundle.outbox import WITHDRAWAL
from gdshare.errors import BundleError, UsageError
from gdshare.ledger import Entry, Ledger
from gdshare.release.publish import RELEASE, WITHDRAW
from gdshare.signing.envelope import read_envelope
from gdshare.signing.names import hour_of
from gdshare.storage import sync_folder, write_bytes


@dataclass(frozen=True)
class Released:
    """A bundle that a ledger knows as released.

    Attributes:
        name: ``SITE-SEQUENCE``.
        digest: of its content.
    """

    name: str
    digest: str


def released_by(entries: Iterable[Entry]) -> tuple[Released, ...]:
    """Return what was released, the oldest first, whether it is still in the outbox or not."""
    return tuple(
        dict.fromkeys(
            Released(entry.what, entry.digest)
            for entry in entries
            if entry.act == RELEASE and entry.digest is not None
        )
    )


def withdrawn_by(entries: Sequence[Entry], one: Released) -> Entry | None:
    """Return the act by which a bundle was taken back, if it was."""
    of_it = [entry for entry in entries if (entry.act, entry.what) == (WITHDRAW, one.name)]
    return next((entry for entry in of_it if entry.digest == one.digest), None)


def require_own_key(outbox: Path, one: Released, signer: str, another: bool) -> None:
    """Refuse another key than the one that signed the bundle, unless somebody means it.

    The aggregator believes no withdrawal by an approver's key, and the bundle would be gone here
    and used there.

    Args:
        outbox: where the bundle lies; one that is gone or damaged asks nothing.
        one: the bundle.
        signer: fingerprint of the key that is about to sign.
        another: whether somebody said that it is another of the hospital's.

    Raises:
        UsageError: it is another key.
    """
    if another:
        return
    try:
        signature = read_plain(outbox / one.name / SIGNATURE, BOUNDS[SIGNATURE])
        released = read_envelope(signature, SIGNATURE).hint
    except BundleError:
        return  # gone or damaged: taking it back must not wait for that
    if released != signer:
        raise UsageError(
            f"{one.name} was released with the key {released}, and this is {signer}",
            remedy="give that one, or say --another-key if this is the hospital's as well",
        )


def withdraw(
    one: Released,
    reason: str,
    outbox: Path,
    ledger: Ledger,
    by: str,
    now: datetime,
    key: ec.EllipticCurvePrivateKey,
) -> Path:
    """Take a bundle back, or complete what was broken off.

    Args:
        one: the bundle.
        reason: for everybody who gets the withdrawal; one that stands in the ledger already counts.
        outbox: from which it was handed over.
        ledger: of the outbox, held open.
        by: who takes it back.
        now: UTC.
        key: the hospital's.

    Returns:
        The withdrawal, in the outbox.

    Raises:
        UsageError: a reason that no withdrawal takes; or the outbox cannot be written to.
        LedgerError: the ledger cannot be written to; nothing was changed.
    """
    _told(one, now, reason)
    entry = withdrawn_by(ledger.entries, one)
    if entry is None:
        ledger.write(now, WITHDRAW, by, one.name, one.digest, reason)
        entry = ledger.entries[-1]
    signed = _told(one, entry.at, entry.why).signed(one.digest, key)
    path = outbox / f"{one.name}{WITHDRAWAL}"
    try:
        outbox.mkdir(parents=True, exist_ok=True)
        write_bytes(path, signed)
        _take_away(outbox / one.name)
    except OSError as error:
        raise UsageError(
            f"cannot be changed ({error.strerror}), so {one.name} may still be handed "
            "over, though the ledger has it as withdrawn",
            outbox,
            "mend that and withdraw it again",
        ) from error
    return path


def _told(one: Released, moment: datetime, reason: str) -> Withdrawal:
    site, _, sequence = one.name.rpartition("-")
    try:
        return Withdrawal(site=site, sequence=int(sequence), at=hour_of(moment), reason=reason)
    except ValidationError as error:
        raise UsageError(
            f"this withdrawal cannot be written: {first_problem(error)}",
            remedy=f"give a reason of at most {MAX_REASON} printable ASCII characters, or none",
        ) from None


def _take_away(folder: Path) -> None:
    """Out of sight at once, then deleted; what an earlier attempt has left there too."""
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
