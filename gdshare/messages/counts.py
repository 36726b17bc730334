"""Counts of films: the answer to ``evaluate.counts``."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

from gdshare.messages.words import MAX_COUNT, NOISE, SUPPRESS_BELOW, Fields, RequestError, Value
from gdshare.metrics import Confusion
from gdshare.suppression import LARGEST, merged


@dataclass(frozen=True)
class Counts:
    """The answer to ``evaluate.counts``.

    Attributes:
        confusions: at each threshold, with no cell of a few films.
        suppress_below: fewer films than this are a few.
        noise: the largest standard deviation of noise on a count, in films; 0: there is none.
    """

    confusions: Sequence[Confusion]
    suppress_below: int = 1
    noise: float = 0.0


def counts_to_fields(counts: Counts) -> dict[str, Value]:
    """The fields to send: for each kind of count, one integer per threshold."""
    columns: dict[str, Value] = {
        kind.name: [getattr(confusion, kind.name) for confusion in counts.confusions]
        for kind in fields(Confusion)
    }
    return {**columns, SUPPRESS_BELOW: counts.suppress_below, NOISE: counts.noise}


def counts_from_fields(received: Fields, thresholds: int) -> Counts:
    """Read counts from a stranger.

    Args:
        received: the answer.
        thresholds: number of ε in the request.

    Raises:
        RequestError: other fields than agreed, not that many integers, out of range, or counts
            that no set of films can have.
    """
    kinds = [kind.name for kind in fields(Confusion)]
    if set(received) != {*kinds, SUPPRESS_BELOW, NOISE}:
        raise RequestError(
            "the counts have other fields than agreed", remedy="use the same gdshare"
        )
    k = received[SUPPRESS_BELOW]
    if type(k) is not int or not 1 <= k <= LARGEST:
        raise RequestError(
            f"{SUPPRESS_BELOW} is not an integer from 1 to {LARGEST}", remedy="use the same gdshare"
        )
    noise = received[NOISE]
    if not isinstance(noise, float) or not 0 <= noise <= MAX_COUNT:
        raise RequestError(f"{NOISE} is not a number of films", remedy="use the same gdshare")
    columns = [_integers(received[name], thresholds) for name in kinds]
    confusions = [Confusion(*row) for row in zip(*columns, strict=True)]
    if not _consistent(confusions, k):
        raise RequestError(
            "the counts contradict one another", remedy="ask the hospital to check its node"
        )
    return Counts(confusions, k, noise)


def _consistent(confusions: Sequence[Confusion], k: int) -> bool:
    """The same films at every ε, fewer called positive as ε rises, indeterminate ones negative;
    and no cell of a few.
    """
    totals = {
        (c.tp + c.fn, c.tn + c.fp, c.indeterminate_positive, c.indeterminate_negative)
        for c in confusions
    }
    falling = all(
        later.tp <= earlier.tp and later.fp <= earlier.fp for earlier, later in pairwise(confusions)
    )
    inside = all(
        c.indeterminate_positive <= c.fn and c.indeterminate_negative <= c.tn for c in confusions
    )
    sent = all(merged(confusion, k) == confusion for confusion in confusions)
    return len(totals) == 1 and falling and inside and sent


def _integers(value: object, length: int) -> list[int]:
    if not isinstance(value, list) or len(value) != length:
        raise RequestError(
            f"a count is not a list of {length} integers", remedy="use the same gdshare"
        )
    whole = [item for item in value if type(item) is int and 0 <= item <= MAX_COUNT]
    if len(whole) != length:
        raise RequestError("a count is not an integer in range", remedy="use the same gdshare")
    return whole
