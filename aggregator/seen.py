"""What was admitted, withdrawn and trained on before, as the aggregator's ledger tells it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aggregator.standing import disowned
from gdshare.errors import UsageError
from gdshare.ledger import Act
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


def standing(acts: Sequence[Act], *kinds: str) -> list[Act]:
    """Return the acts about bundles that count: all but those of a key that was disowned by then.

    Args:
        acts: of the aggregator's ledger, in their order.
        kinds: ``ADMIT``, ``QUARANTINE``, ``WITHDRAW``.
    """
    gone = [(signed_with(one.key), range(one.first, one.before)) for one in disowned(acts)]
    return [
        act
        for act in acts
        if act.act in kinds
        and act.digest is not None
        and not any(act.why.startswith(signed) and act.number in lines for signed, lines in gone)
    ]


def newest_seen(acts: Sequence[Act]) -> dict[str, Seen]:
    """Return each site's newest, by its name.

    A bundle that was withdrawn counts, whether it was ever admitted here or not: an older one must
    not come back in its place. That its key was revoked or has ended since does not make a bundle
    less new: if it did, an older one could be handed out again. Only what a thief signed must not
    count, since his highest number would lock the hospital out: the operator says from where on, by
    ``disown``.

    Args:
        acts: of the aggregator's ledger, in their order.
    """
    seen: dict[str, Seen] = {}
    for act in standing(acts, ADMIT, WITHDRAW):
        site, _, number = act.what.rpartition("-")
        one = Seen(int(number), str(act.digest))
        if site not in seen or one.sequence >= seen[site].sequence:
            seen[site] = one
    return seen


def admitted(acts: Sequence[Act]) -> frozenset[str]:
    """Return the digests of all bundles that were admitted, and still are."""
    return frozenset(str(act.digest) for act in standing(acts, ADMIT))


def line_of(told: str, key: str, acts: Sequence[Act]) -> int:
    """Return the line from which on a key was not the hospital's.

    Args:
        told: in the operator's words: a line, or the first bundle that was not the hospital's.
        key: its fingerprint.
        acts: of the aggregator's ledger, in their order.

    Raises:
        UsageError: nothing of that key was admitted or withdrawn there or after it.
    """
    signed = signed_with(key)
    mine = [act for act in acts if act.act in (ADMIT, WITHDRAW) and act.why.startswith(signed)]
    lines = [act.number for act in mine if act.what == told]
    line = int(told) if re.fullmatch("[1-9][0-9]{0,8}", told) else min(lines, default=0)
    if not any(act.number >= line > 0 for act in mine):
        raise UsageError(
            f"--since {told:.50}: no bundle of this key was admitted or withdrawn there or later; "
            "see gdshare ledger show, or leave it away"
        )
    return line


def withdrawn(acts: Iterable[Act]) -> dict[tuple[str, str], Act]:
    """Return the name and digest of each bundle that was taken back, with the act that says so.

    By both, since a digest is no secret: a hospital that withdraws another's, under a name of its
    own, has withdrawn nothing. It stays so when the key is revoked later; what a thief withdrew,
    the hospital releases anew under its next number.
    """
    found: dict[tuple[str, str], Act] = {}
    for act in acts:
        if act.act == WITHDRAW and act.digest is not None:
            found.setdefault((act.what, act.digest), act)
    return found


def trained_with(acts: Iterable[Act], name: str, digest: str) -> tuple[Act, ...]:
    """Return the acts that tell of the models trained from a bundle."""
    told = trained_from(name, digest)
    return tuple(act for act in acts if act.act == TRAIN and act.why == told)


def quarantined_names(acts: Sequence[Act]) -> dict[str, frozenset[str]]:
    """Return the digests that were quarantined under each bundle's name, a thief's left out."""
    found: dict[str, frozenset[str]] = {}
    for act in standing(acts, QUARANTINE):
        found[act.what] = found.get(act.what, frozenset()) | {str(act.digest)}
    return found


def quarantined(acts: Iterable[Act]) -> dict[str, Act]:
    """Return the digests that were ever quarantined, each with the last act that did so."""
    return {one.digest: one for one in acts if one.act == QUARANTINE and one.digest is not None}


def accepted(acts: Iterable[Act]) -> frozenset[str]:
    """Return the digests that a person accepted in spite of their figures."""
    return frozenset(one.digest for one in acts if one.act == ACCEPT and one.digest is not None)
