"""A hospital consents to a shared model as the θ0 of its distillation, or takes that back.

::

    OUTBOX-announcements/
        DIGEST/            an announcement that somebody here consented to; DIGEST is its θ0's

The ledger of the outbox has a line ``consent`` for each, and ``consent-ended`` where it was taken
back. Images that were distilled for a shared model are prepared, approved and released only while
the last such line of their θ0 is a ``consent``. A θ0 that is drawn from a public number needs none.

The node, which trains what it counts with, finds a shared model's weights there, and nowhere else.
"""

import shutil
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from gdshare.announcement import (
    AnnouncedStart,
    is_shared_model,
    read_announcement,
    write_announcement,
)
from gdshare.bundle import Manifest
from gdshare.errors import AnnouncementError, PolicyError, UsageError
from gdshare.ledger import Entry, Ledger, in_one_line

CONSENT: Final = "consent"
ENDED: Final = "consent-ended"


def announcements_folder(outbox: Path) -> Path:
    """The folder of the announcements that were consented to, beside the outbox."""
    real = outbox.resolve()
    return real.with_name(f"{real.name}-announcements")


def has_consent(entries: Iterable[Entry], theta0_sha256: str) -> bool:
    """Whether somebody consented to a θ0, and did not take it back."""
    acts = [
        entry.act
        for entry in entries
        if entry.digest == theta0_sha256 and entry.act in (CONSENT, ENDED)
    ]
    return acts[-1:] == [CONSENT]


def record_consent(
    start: AnnouncedStart, signer: str, outbox: Path, ledger: Ledger, by: str, now: datetime
) -> Path:
    """Consent to an announcement; again is once.

    Args:
        start: verified.
        signer: fingerprint of the aggregator's key.
        outbox: the hospital's.
        ledger: of the outbox, locked.
        by: who consents.
        now: UTC.

    Returns:
        the folder of the announcement beside the outbox.
    """
    folder = announcements_folder(outbox) / start.theta0_sha256
    # First the ledger: weights never lie where the node finds them without consent.
    if not has_consent(ledger.entries, start.theta0_sha256):
        why = in_one_line(f"θ0 is {start.text}, signed with {signer}")
        what = start.announcement.aggregator
        ledger.write(now, CONSENT, by, what, start.theta0_sha256, why)
    if not _is_whole(folder, start):
        _remove(folder)
        write_announcement(folder, start)
    return folder


def end_consent(
    theta0_sha256: str, outbox: Path, ledger: Ledger, by: str, now: datetime, why: str
) -> None:
    """Take a consent back: nothing that was distilled for that θ0 is released from then on.

    What was released before is taken back by ``gdshare withdraw``.

    Raises:
        UsageError: nobody consented to it.
        OSError: its weights cannot be removed, so that the node would go on using them; the consent
            is not ended.
    """
    given = [entry for entry in ledger.entries if entry.act == CONSENT]
    matching = [entry for entry in given if entry.digest == theta0_sha256]
    if not matching or not has_consent(ledger.entries, theta0_sha256):
        raise UsageError(
            "nobody here consents to this θ0", theta0_sha256, "see gdshare ledger show"
        )
    # First the weights: a kill in between leaves a consent without effect, to be ended again.
    _remove(announcements_folder(outbox) / theta0_sha256)
    ledger.write(now, ENDED, by, matching[-1].what, theta0_sha256, in_one_line(why))


def _is_whole(folder: Path, start: AnnouncedStart) -> bool:
    """Whether a kept copy has the same θ0; a kill while a consent was ended leaves a part of it."""
    try:
        kept = read_announcement(folder)
    except (AnnouncementError, UsageError):
        return False
    return (kept.theta0_sha256, kept.weights) == (start.theta0_sha256, start.weights)


def _remove(folder: Path) -> None:
    """Remove a kept copy; of a link, the link."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def require_consent(manifest: Manifest, entries: Iterable[Entry]) -> None:
    """Refuse images that were distilled for a shared model to which nobody consents.

    Raises:
        PolicyError: naming the model.
    """
    theta0 = manifest.theta0_sha256
    if theta0 is None or not is_shared_model(theta0, manifest.method.theta0_number):
        return
    if not has_consent(entries, theta0):
        raise PolicyError(
            f"{manifest.name} was distilled for a shared model's weights ({theta0}), and the "
            "ledger has nobody's consent to it",
            remedy="have the officer look at the announcement and run gdshare consent",
        )
