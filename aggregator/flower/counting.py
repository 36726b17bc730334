"""Having hospitals count films with a model, and reading their answers as a stranger's."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flwr.serverapp import Grid

from aggregator.flower.exchange import Replies, ask
from aggregator.verified import Verified, may_see
from gdshare.cohort import Split
from gdshare.errors import FederationError
from gdshare.messages import (
    COUNTS,
    MAX_BUNDLES,
    CountRequest,
    Counts,
    Recipe,
    RequestError,
    counts_from_fields,
)
from gdshare.model import Model
from gdshare.pooling import Scheme

log = logging.getLogger(__name__)

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


@dataclass(frozen=True)
class Trained:
    """A model, and all that a hospital needs to train it.

    Attributes:
        model: its networks vote.
        bundles: it was trained from these.
        pooling, seed, ensemble: in this way.
    """

    model: Model
    bundles: Sequence[Verified]
    pooling: Scheme
    seed: int
    ensemble: int

    def request_for(self, site: str, epsilon: float | None) -> CountRequest:
        """What a hospital is asked: to train the model, if it may be shown the bundles."""
        hidden = [bundle.name for bundle in self.bundles if not may_see(site, bundle)]
        if hidden or len(self.bundles) > MAX_BUNDLES:
            log.warning(
                "%s is sent weights, since it is no recipient of %s; few hospitals accept them",
                site,
                ", ".join(hidden) or "so many bundles",
            )
            model: Recipe | bytes = self.model.to_bytes()
        else:
            files = [bundle.files for bundle in self.bundles]
            model = Recipe(self.pooling, self.seed, self.ensemble, files)
        return CountRequest(self.model.network, self.model.protocol, model, epsilon)


def count_films(
    grid: Grid, asked: Sequence[Verified], trained: Trained, epsilon: float | None, timeout: float
) -> Counted:
    """Have hospitals count films with a model.

    Args:
        grid: Flower's way to the nodes.
        asked: bundles; the node that sent a bundle is asked.
        trained: the model.
        epsilon: count test films at this ε; None: validation films at every ε that is tried.
        timeout: seconds for all nodes together.
    """
    requests = {bundle.node: trained.request_for(bundle.site, epsilon) for bundle in asked}
    nodes = {bundle.site: bundle.node for bundle in asked}
    split: Split = "val" if epsilon is None else "test"
    replies = ask(
        grid,
        f"evaluate.{COUNTS}",
        {node: request.to_fields() for node, request in requests.items()},
        timeout,
        who=", ".join(sorted(nodes)) or "nobody",
        what=f"count {WORDS[split]} films",
    )
    counts: dict[str, Counts] = {}
    missing: list[Missing] = []
    for site, node in nodes.items():
        try:
            counts[site] = _read(replies, node, len(requests[node].thresholds))
        except FederationError as error:
            missing.append(Missing(site, split, str(error)))
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
