"""What the aggregator has admitted before, as its ledger tells it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aggregator.trust import revoked
from gdshare.ledger import Act

ADMIT, REFUSE = "admit", "refuse"
QUARANTINE, ACCEPT = "quarantine", "accept"


@dataclass(frozen=True)
class Seen:
    """A site's newest bundle that was ever admitted."""

    sequence: int
    digest: str


def signed_with(fingerprint: str) -> str:
    """How an ``admit`` tells whose signature it was."""
    return f"signed with {fingerprint}"


def newest_seen(acts: Sequence[Act]) -> dict[str, Seen]:
    """Return each site's, by its name.

    What a key signed that was revoked since does not count: a thief's highest number would lock
    the hospital out for ever.

    Args:
        acts: of the aggregator's ledger, in their order.
    """
    seen: dict[str, Seen] = {}
    thieves = {signed_with(fingerprint) for fingerprint in revoked(acts)}
    for act in acts:
        if act.act == ADMIT and act.digest is not None and act.why not in thieves:
            site, _, sequence = act.what.rpartition("-")
            seen[site] = Seen(int(sequence), act.digest)
    return seen


def admitted_before(acts: Iterable[Act], act: Act) -> frozenset[str]:
    """Return the digests of all bundles that were admitted before an act."""
    return frozenset(
        one.digest
        for one in acts
        if one.act == ADMIT and one.digest is not None and one.number < act.number
    )


def quarantined(acts: Iterable[Act]) -> dict[str, Act]:
    """Return the digests that were ever quarantined, each with the last act that did so."""
    return {one.digest: one for one in acts if one.act == QUARANTINE and one.digest is not None}


def accepted(acts: Iterable[Act]) -> frozenset[str]:
    """Return the digests that a person accepted in spite of their figures."""
    return frozenset(one.digest for one in acts if one.act == ACCEPT and one.digest is not None)
