"""What the aggregator has admitted before, as its ledger tells it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from aggregator.standing import disowned
from gdshare.errors import UsageError
from gdshare.ledger import Act

ADMIT, REFUSE = "admit", "refuse"


@dataclass(frozen=True)
class Seen:
    """A site's newest bundle that was ever admitted."""

    sequence: int
    digest: str


def signed_with(fingerprint: str) -> str:
    """How an ``admit`` tells whose signature it was."""
    return f"signed with {fingerprint}"


def standing_admissions(acts: Sequence[Act]) -> list[Act]:
    """Return the admissions that count: all but those of a key that was disowned by then.

    Args:
        acts: of the aggregator's ledger, in their order.
    """
    gone = [(signed_with(one.key), range(one.first, one.before)) for one in disowned(acts)]
    return [
        act
        for act in acts
        if act.act == ADMIT
        and act.digest is not None
        and not any(act.why == signed and act.number in lines for signed, lines in gone)
    ]


def newest_seen(acts: Sequence[Act]) -> dict[str, Seen]:
    """Return each site's newest, by its name.

    That its key was revoked or has ended since does not make a bundle less new: if it did, an
    older one could be handed out again. Only what a thief signed must not count, since his highest
    number would lock the hospital out: the operator says from where on, by ``disown``.

    Args:
        acts: of the aggregator's ledger, in their order.
    """
    seen: dict[str, Seen] = {}
    for act in standing_admissions(acts):
        site, _, number = act.what.rpartition("-")
        one = Seen(int(number), str(act.digest))
        if site not in seen or one.sequence >= seen[site].sequence:
            seen[site] = one
    return seen


def admitted(acts: Sequence[Act]) -> frozenset[str]:
    """Return the digests of all bundles that were admitted, and still are."""
    return frozenset(str(act.digest) for act in standing_admissions(acts))


def line_of(told: str, key: str, acts: Sequence[Act]) -> int:
    """Return the line from which on a key was not the hospital's.

    Args:
        told: in the operator's words: a line, or the first bundle that was not the hospital's.
        key: its fingerprint.
        acts: of the aggregator's ledger, in their order.

    Raises:
        UsageError: nothing of that key was admitted there or after it.
    """
    mine = [act for act in acts if act.act == ADMIT and act.why == signed_with(key)]
    lines = [act.number for act in mine if act.what == told]
    line = int(told) if re.fullmatch("[1-9][0-9]{0,8}", told) else min(lines, default=0)
    if not any(act.number >= line > 0 for act in mine):
        raise UsageError(
            f"--since {told:.50}: no bundle of this key was admitted there or later; see gdshare "
            "ledger show, or leave it away"
        )
    return line
