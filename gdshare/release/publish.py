"""Releasing a bundle: first into the ledger, then into the outbox.

In this order, so that no bundle is ever in the outbox without its line. A kill between the two
leaves a line without a bundle; its number is then used up.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from gdshare.bundle import Bundle, next_sequence, write_bundle
from gdshare.bundle.errors import AlreadyPublished
from gdshare.errors import GdshareError, UsageError
from gdshare.ledger import Ledger, in_one_line
from gdshare.release.guarantee import with_spent

RELEASE, ABANDON, WITHDRAW = "release", "abandon", "withdraw"


def ledger_beside(outbox: Path) -> Path:
    """The ledger of an outbox: beside it, never inside."""
    real = outbox.resolve()
    return real.with_name(f"{real.name}-ledger.jsonl")


def require_ledger(outbox: Path) -> None:
    """Refuse an outbox without a ledger: a mistyped one has no policy, and every page looks forged.

    Raises:
        UsageError: it has none.
    """
    if not ledger_beside(outbox).exists():
        raise UsageError("nothing was prepared for this outbox", outbox, "check --outbox")


def next_number(outbox: Path, ledger: Ledger, site: str) -> int:
    """A site's next sequence number: higher than any in its outbox or its ledger."""
    names = (entry.what.rpartition("-") for entry in ledger.entries if entry.act == RELEASE)
    used = (int(number) for name, _, number in names if name == site)
    return max(next_sequence(outbox, site), 1 + max(used, default=0))


def release(
    bundle: Bundle,
    files: Mapping[str, bytes],
    outbox: Path,
    ledger: Ledger,
    by: str,
    now: datetime,
    why: str = "",
) -> Path:
    """Record a bundle's release and put it into the outbox.

    Args:
        bundle: as its own readers verified it.
        files: its files.
        outbox: made if missing.
        ledger: of the outbox, locked.
        by: who releases it.
        now: UTC.
        why: for the ledger.

    Returns:
        The bundle's folder in the outbox.

    Raises:
        AlreadyPublished: its number, or a higher one, was used before, even if that bundle is gone.
        UsageError: the outbox cannot be written to.
        LedgerError: the ledger cannot be written to; nothing is released.
    """
    require_unused(bundle, outbox, ledger)
    name = bundle.manifest.name
    ledger.write(now, RELEASE, by, name, bundle.digest, with_spent(why, bundle))
    try:
        return write_bundle(outbox, files)
    except GdshareError as error:
        if not (outbox / name).is_dir():
            ledger.write(now, ABANDON, by, name, bundle.digest, in_one_line(str(error)))
        raise


def require_unused(bundle: Bundle, outbox: Path, ledger: Ledger) -> None:
    """Refuse a number that was used before, except by an interrupted release of this very bundle.

    Raises:
        AlreadyPublished: naming the next number; also for a bundle that was withdrawn.
    """
    name, following = bundle.manifest.name, next_number(outbox, ledger, bundle.manifest.site)
    if any((entry.act, entry.digest) == (WITHDRAW, bundle.digest) for entry in ledger.entries):
        raise AlreadyPublished(
            "was withdrawn, and stays so",
            name,
            f"if it may leave after all, prepare it anew, with number {following}",
        )
    if bundle.manifest.sequence < following and not _was_interrupted(bundle, outbox, ledger):
        raise AlreadyPublished(
            "this number, or a higher one, was released before, and nothing is ever overwritten",
            name,
            f"publish with number {following}: to others an older number passes for an attack",
        )


def _was_interrupted(bundle: Bundle, outbox: Path, ledger: Ledger) -> bool:
    """Whether this bundle is its site's last release in the ledger, and not in the outbox."""
    site = bundle.manifest.site
    releases = [entry for entry in ledger.entries if entry.what.rpartition("-")[0] == site]
    last = [entry for entry in releases if entry.act in (RELEASE, ABANDON)][-1:]
    return [entry.digest for entry in last] == [bundle.digest] and not (
        outbox / bundle.manifest.name
    ).exists()
