"""Means, deviations, and the paired bootstrap: two models are compared on the same resamples."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gdshare.metrics import percentile_interval

Float = npt.NDArray[np.float64]
Ends = tuple[float, float]  # of a 95% interval


def mean(values: Sequence[float]) -> float:
    """Their mean; NaN when one of them is."""
    return float(np.mean(values))


def deviation(values: Sequence[float]) -> float | None:
    """Their sample standard deviation; None of a single one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def interval(resampled: Float) -> Ends:
    """The 95% percentile interval of a figure on every resample; NaN where the figure is."""
    found = percentile_interval(resampled)
    return found.low, found.high


def resamples(
    strata: npt.NDArray[np.int64],
    units: npt.NDArray[np.int64],
    generator: np.random.Generator,
    count: int,
) -> Float:
    """How often each item occurs in each resample: float64 [count, items].

    A resample kept so, all of them are counted at once by one matrix product. Within each stratum
    as many units are drawn, with replacement, as there are; a unit brings all its items along.

    Args:
        strata: int64 [items], in whose ascending order is drawn.
        units: int64 [items], the patient of each film, say; equal numbers in two strata are two.
        generator: of the draws.
        count: of resamples.
    """
    drawn = np.zeros((count, len(strata)))
    for stratum in np.unique(strata):
        own = np.flatnonzero(strata == stratum)
        members, owner = np.unique(units[own], return_inverse=True)
        share = np.full(len(members), 1.0 / len(members))
        drawn[:, own] = generator.multinomial(len(members), share, size=count)[:, owner]
    return drawn
