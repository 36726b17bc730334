"""Having hospitals count films by a model, and reading their answers as a stranger's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flwr.serverapp import Grid

from aggregator.flower.exchange import Replies, ask
from aggregator.verified import Verified
from gdshare.errors import FederationError
from gdshare.messages import COUNTS, CountRequest, RequestError, counts_from_fields
from gdshare.metrics import Confusion
from gdshare.model import Model


@dataclass(frozen=True)
class Missing:
    """A site that is in the round but not in one of its counts."""

    site: str
    what: str
    reason: str


@dataclass(frozen=True)
class Counted:
    """Counts by site, and who is lacking."""

    counts: Mapping[str, Sequence[Confusion]]
    missing: Sequence[Missing]


def count_films(
    grid: Grid, admitted: Sequence[Verified], model: Model, epsilon: float | None, timeout: float
) -> Counted:
    """Have sites count films by a model, and read what they say as a stranger's.

    Args:
        grid: Flower's way to the nodes.
        admitted: bundles, each with the node that handed it over and is asked.
        model: to vote.
        epsilon: on test films at this ε; None: on validation films, at every ε that is tried.
        timeout: seconds for all of them together.
    """
    question = CountRequest(model.network, model.protocol, model.to_bytes(), epsilon)
    fields = question.to_fields()
    replies = ask(grid, f"evaluate.{COUNTS}", {one.node: fields for one in admitted}, timeout)
    counts: dict[str, Sequence[Confusion]] = {}
    missing: list[Missing] = []
    for one in admitted:
        try:
            counts[one.site] = _read(replies, one.node, len(question.thresholds))
        except FederationError as error:
            missing.append(Missing(one.site, question.split, str(error)))
    return Counted(counts, missing)


def _read(replies: Replies, node: int, thresholds: int) -> list[Confusion]:
    if node in replies.refused:
        raise FederationError(replies.refused[node].value)
    if node not in replies.answers:
        raise FederationError("no answer")
    try:
        return counts_from_fields(replies.answers[node], thresholds)
    except RequestError as error:
        raise FederationError(f"not believed: {error}") from error


def lacking(counted: Counted) -> str:
    """Who is lacking, and why, for an error."""
    return "; ".join(f"{one.site}: {one.reason}" for one in counted.missing)
