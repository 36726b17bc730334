"""Having hospitals count films with a model, and reading their answers as a stranger's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flwr.serverapp import Grid

from aggregator.flower.exchange import Replies, ask
from aggregator.verified import Verified
from gdshare.errors import FederationError
from gdshare.messages import COUNTS, CountRequest, Counts, RequestError, counts_from_fields
from gdshare.model import Model

WORDS = {"val": "validation", "test": "test"}


@dataclass(frozen=True)
class Missing:
    """A site of the round that is missing from one of its counts."""

    site: str
    what: str
    reason: str


@dataclass(frozen=True)
class Counted:
    """Counts by site, and which sites are missing."""

    counts: Mapping[str, Counts]
    missing: Sequence[Missing]

    @property
    def gaps(self) -> str:
        """Which sites are missing, and why, for an error."""
        return "; ".join(f"{missing.site}: {missing.reason}" for missing in self.missing)


def count_films(
    grid: Grid, admitted: Sequence[Verified], model: Model, epsilon: float | None, timeout: float
) -> Counted:
    """Have hospitals count films with a model.

    Args:
        grid: Flower's way to the nodes.
        admitted: bundles; the node that sent a bundle is asked.
        model: its networks vote.
        epsilon: count test films at this ε; None: validation films at every ε that is tried.
        timeout: seconds for all nodes together.
    """
    request = CountRequest(model.network, model.protocol, model.to_bytes(), epsilon)
    fields = request.to_fields()
    nodes = {bundle.site: bundle.node for bundle in admitted}
    replies = ask(
        grid,
        f"evaluate.{COUNTS}",
        dict.fromkeys(nodes.values(), fields),
        timeout,
        who=", ".join(sorted(nodes)) or "nobody",
        what=f"count {WORDS[request.split]} films",
    )
    counts: dict[str, Counts] = {}
    missing: list[Missing] = []
    for site, node in nodes.items():
        try:
            counts[site] = _read(replies, node, len(request.thresholds))
        except FederationError as error:
            missing.append(Missing(site, request.split, str(error)))
    return Counted(counts, missing)


def _read(replies: Replies, node: int, thresholds: int) -> Counts:
    if node in replies.refused:
        raise FederationError(replies.refused[node].value)
    if node not in replies.answers:
        raise FederationError("no answer")
    try:
        return counts_from_fields(replies.answers[node], thresholds)
    except RequestError as error:
        raise FederationError(f"not accepted: {error}") from error
