"""What was admitted, withdrawn and trained on before, as the aggregator's ledger tells it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aggregator.trust.key_history import disowned
from gdshare.errors import UsageError
from gdshare.ledger import Entry
from gdshare.release.publish import WITHDRAW

ADMIT, REFUSE, TRAIN = "admit", "refuse", "train"
QUARANTINE, ACCEPT = "quarantine", "accept"


@dataclass(frozen=True)
class Seen:
    """A site's newest bundle that was ever admitted or withdrawn."""

    sequence: int
    digest: str


def signed_with(fingerprint: str) -> str:
    """How an ``admit``, a ``quarantine`` and a ``withdraw`` begin: whose signature it was."""
    return f"signed with {fingerprint}"


def trained_from(name: str, digest: str) -> str:
    """How a ``train`` tells of one of the bundles that its model was trained from."""
    return f"from {name} {digest}"


def standing(entries: Sequence[Entry], *kinds: str) -> list[Entry]:
    """Return the acts about bundles that count: all but those of a key that was disowned by then.

    Args:
        entries: of the aggregator's ledger, in their order.
        kinds: ``ADMIT``, ``QUARANTINE``, ``WITHDRAW``.
    """
    gone = [(signed_with(one.key), range(one.first, one.before)) for one in disowned(entries)]
    return [
        entry
        for entry in entries
        if entry.act in kinds
        and entry.digest is not None
        and not any(
            entry.why.startswith(signed) and entry.number in lines for signed, lines in gone
        )
    ]


def newest_seen(entries: Sequence[Entry]) -> dict[str, Seen]:
    """Return each site's newest, by its name.

    A bundle that was withdrawn counts, whether it was ever admitted here or not: an older one must
    not come back in its place. That its key was revoked or has ended since does not make a bundle
    less new: if it did, an older one could be handed out again. Only what a thief signed must not
    count, since his highest number would lock the hospital out: the operator says from where on, by
    ``disown``.

    Args:
        entries: of the aggregator's ledger, in their order.
    """
    seen: dict[str, Seen] = {}
    for entry in standing(entries, ADMIT, WITHDRAW):
        site, _, number = entry.what.rpartition("-")
        one = Seen(int(number), str(entry.digest))
        if site not in seen or one.sequence >= seen[site].sequence:
            seen[site] = one
    return seen


def admitted(entries: Sequence[Entry]) -> frozenset[str]:
    """Return the digests of all bundles that were admitted, and still are."""
    return frozenset(str(entry.digest) for entry in standing(entries, ADMIT))


def line_of(told: str, key: str, entries: Sequence[Entry]) -> int:
    """Return the line from which on a key was not the hospital's.

    Args:
        told: in the operator's words: a line, or the first bundle that was not the hospital's.
        key: its fingerprint.
        entries: of the aggregator's ledger, in their order.

    Raises:
        UsageError: nothing of that key was admitted or withdrawn there or after it.
    """
    signed = signed_with(key)
    mine = [
        entry
        for entry in entries
        if entry.act in (ADMIT, WITHDRAW) and entry.why.startswith(signed)
    ]
    lines = [entry.number for entry in mine if entry.what == told]
    line = int(told) if re.fullmatch("[1-9][0-9]{0,8}", told) else min(lines, default=0)
    if not any(entry.number >= line > 0 for entry in mine):
        raise UsageError(
            f"--since {told:.50}: no bundle of this key was admitted or withdrawn there or later",
            remedy="see gdshare ledger show, or leave it away",
        )
    return line


def withdrawn(entries: Iterable[Entry]) -> dict[tuple[str, str], Entry]:
    """Return the name and digest of each bundle that was taken back, with the act that says so.

    By both, since a digest is no secret: a hospital that withdraws another's, under a name of its
    own, has withdrawn nothing. It stays so when the key is revoked later; what a thief withdrew,
    the hospital releases anew under its next number.
    """
    found: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        if entry.act == WITHDRAW and entry.digest is not None:
            found.setdefault((entry.what, entry.digest), entry)
    return found


def trained_with(entries: Iterable[Entry], name: str, digest: str) -> tuple[Entry, ...]:
    """Return the acts that tell of the models trained from a bundle."""
    told = trained_from(name, digest)
    return tuple(entry for entry in entries if entry.act == TRAIN and entry.why == told)


def quarantined_names(entries: Sequence[Entry]) -> dict[str, frozenset[str]]:
    """Return the digests that were quarantined under each bundle's name, a thief's left out."""
    found: dict[str, frozenset[str]] = {}
    for entry in standing(entries, QUARANTINE):
        found[entry.what] = found.get(entry.what, frozenset()) | {str(entry.digest)}
    return found


def quarantined(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Return the digests that were ever quarantined, each with the last act that did so."""
    return {one.digest: one for one in entries if one.act == QUARANTINE and one.digest is not None}


def accepted(entries: Iterable[Entry]) -> frozenset[str]:
    """Return the digests that a person accepted in spite of their figures."""
    return frozenset(one.digest for one in entries if one.act == ACCEPT and one.digest is not None)
