"""What the aggregator has admitted before, as its ledger tells it."""

from collections.abc import Iterable
from dataclasses import dataclass

from gdshare.ledger import Act

ADMIT, REFUSE = "admit", "refuse"


@dataclass(frozen=True)
class Seen:
    """A site's newest bundle that was ever admitted."""

    sequence: int
    digest: str


def newest_seen(acts: Iterable[Act]) -> dict[str, Seen]:
    """Return each site's, by its name.

    Args:
        acts: of the aggregator's ledger, in their order.
    """
    seen: dict[str, Seen] = {}
    for act in acts:
        if act.act == ADMIT and act.digest is not None:
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
