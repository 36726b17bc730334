"""What the aggregator's ledger says of bundles: admitted, quarantined, withdrawn, trained on."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gdshare.errors import UsageError
from gdshare.ledger import Entry
from gdshare.release.publish import WITHDRAW
from gdshare.trust.key_history import disowned_lines

ADMIT, REFUSE, TRAIN = "admit", "refuse", "train"
QUARANTINE, ACCEPT = "quarantine", "accept"


@dataclass(frozen=True)
class Newest:
    """A site's newest bundle among those that were admitted or withdrawn."""

    sequence: int
    digest: str


def signed_with(fingerprint: str) -> str:
    """The text that begins the reason of an ``admit``, ``quarantine`` or ``withdraw``."""
    return f"signed with {fingerprint}"


def trained_from(name: str, digest: str) -> str:
    """The reason of a ``train``: one of the bundles its model was trained from."""
    return f"from {name} {digest}"


def counted_entries(entries: Sequence[Entry], *acts: str) -> list[Entry]:
    """Return the entries about bundles that count: all but those of a key disowned since.

    Args:
        entries: of the aggregator's ledger, in order.
        acts: ``ADMIT``, ``QUARANTINE``, ``WITHDRAW``.
    """
    disowned = [
        (signed_with(lines.key), range(lines.first, lines.before))
        for lines in disowned_lines(entries)
    ]
    return [
        entry
        for entry in entries
        if entry.act in acts
        and entry.digest is not None
        and not any(
            entry.why.startswith(signed) and entry.number in lines for signed, lines in disowned
        )
    ]


def newest_bundles(entries: Sequence[Entry]) -> dict[str, Newest]:
    """Return each site's newest bundle; site -> bundle.

    A withdrawn bundle counts, admitted here or not: no older one may take its place. A bundle also
    counts after its key was revoked or has ended: otherwise an older one could be handed out again.
    Only what a thief signed must not count, since a high number of his would lock the hospital out;
    the operator says from which line on, by ``disown``.

    Args:
        entries: of the aggregator's ledger, in order.
    """
    newest: dict[str, Newest] = {}
    for entry in counted_entries(entries, ADMIT, WITHDRAW):
        site, _, number = entry.what.rpartition("-")
        if site not in newest or int(number) >= newest[site].sequence:
            newest[site] = Newest(int(number), str(entry.digest))
    return newest


def admitted_digests(entries: Sequence[Entry]) -> frozenset[str]:
    """Return the digests of all bundles that were admitted and have not lost their admission."""
    return frozenset(str(entry.digest) for entry in counted_entries(entries, ADMIT))


def first_disowned_line(since: str, key: str, entries: Sequence[Entry]) -> int:
    """Return the line from which on a key was no longer the hospital's.

    Args:
        since: a line's number, or the name of the first bundle that was not the hospital's.
        key: its fingerprint.
        entries: of the aggregator's ledger, in order.

    Raises:
        UsageError: no bundle of that key was admitted or withdrawn there or later.
    """
    of_key = [
        entry
        for entry in entries
        if entry.act in (ADMIT, WITHDRAW) and entry.why.startswith(signed_with(key))
    ]
    lines = [entry.number for entry in of_key if entry.what == since]
    line = int(since) if re.fullmatch("[1-9][0-9]{0,8}", since) else min(lines, default=0)
    if not any(entry.number >= line > 0 for entry in of_key):
        raise UsageError(
            f"--since {since:.50}: no bundle of this key was admitted or withdrawn there or later",
            remedy="see gdshare ledger show, or leave it out",
        )
    return line


def withdrawn_bundles(entries: Iterable[Entry]) -> dict[tuple[str, str], Entry]:
    """Return the withdrawn bundles: (name, digest) -> the entry that says so.

    By both, since a digest is no secret: a hospital that withdraws another's bundle under a name of
    its own withdraws nothing. A withdrawal outlives its key. What a thief withdrew, the hospital
    releases again under its next number.
    """
    withdrawn: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        if entry.act == WITHDRAW and entry.digest is not None:
            withdrawn.setdefault((entry.what, entry.digest), entry)
    return withdrawn


def models_trained_with(entries: Iterable[Entry], name: str, digest: str) -> tuple[Entry, ...]:
    """Return the entries of the models that were trained from a bundle."""
    why = trained_from(name, digest)
    return tuple(entry for entry in entries if entry.act == TRAIN and entry.why == why)


def lost_origin(entries: Sequence[Entry], digest: str) -> tuple[str, ...]:
    """The bundles that a model was trained from and that were withdrawn or taken back, by name.

    Taken back is what lost its admission since, with a key that was a thief's by then.

    Args:
        entries: of the aggregator's ledger.
        digest: of the model's file, or of a shared model's weights as an announcement names them.
    """
    origin = {entry.why for entry in entries if (entry.act, entry.digest) == (TRAIN, digest)}
    admitted = {(entry.what, str(entry.digest)) for entry in entries if entry.act == ADMIT}
    counted = {(entry.what, str(entry.digest)) for entry in counted_entries(entries, ADMIT)}
    lost = withdrawn_bundles(entries).keys() | (admitted - counted)
    return tuple(sorted(name for name, of in lost if trained_from(name, of) in origin))


def quarantined_contents(entries: Sequence[Entry]) -> dict[str, frozenset[str]]:
    """Return the digests quarantined under each bundle's name, those of disowned keys left out."""
    digests: dict[str, frozenset[str]] = {}
    for entry in counted_entries(entries, QUARANTINE):
        digests[entry.what] = digests.get(entry.what, frozenset()) | {str(entry.digest)}
    return digests


def quarantined_digests(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Return every digest that was ever quarantined, with the last entry that says so."""
    return {
        entry.digest: entry
        for entry in entries
        if entry.act == QUARANTINE and entry.digest is not None
    }


def accepted_digests(entries: Iterable[Entry]) -> frozenset[str]:
    """Return the digests that a person accepted in spite of their figures."""
    return frozenset(
        entry.digest for entry in entries if entry.act == ACCEPT and entry.digest is not None
    )
