"""95% intervals of shares of films and of AUCs, never of no width, even of 0 and 1.

Where each patient has one film, a share of them has Wilson's interval (Wilson 1927; recommended by
Brown, Cai and DasGupta 2001). A figure made of two shares, the harmonic mean, and a share with
noise added are resampled from Jeffreys' distribution of what the shares may be, Beta(right + 1/2,
wrong + 1/2): resampling the films themselves would find no other share than 0 or 1.
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.stats import binomtest, norm

from gdshare.metrics import (
    RESAMPLES,
    Confusion,
    Interval,
    Intervals,
    intervals,
)

Float = npt.NDArray[np.float64]
Z = float(norm.ppf(0.975))
TINY = 1e-9
UNKNOWN = Interval(0.0, 1.0)
"""Of a share of no film."""


def wilson(right: int, wrong: int) -> Interval:
    """Wilson's interval of the share ``right`` of ``right + wrong`` films or patients."""
    if not right + wrong:
        return UNKNOWN
    found = binomtest(right, right + wrong).proportion_ci(0.95, method="wilson")
    return Interval(float(found.low), float(found.high))


def resampled_share(
    right: float, wrong: float, generator: np.random.Generator, resamples: int = RESAMPLES
) -> Float:
    """What a share may be, after so many films or patients: float64 [resamples] in (0, 1)."""
    return generator.beta(right + 0.5, wrong + 0.5, resamples)


def count_intervals(
    confusion: Confusion,
    generator: np.random.Generator,
    noise: float = 0.0,
    resamples: int = RESAMPLES,
) -> Intervals:
    """Intervals from counts alone, for who sees no film; as if each film were another patient's.

    Args:
        confusion: films, with or without noise.
        generator: advanced.
        noise: its standard deviation, in films, on each count.
        resamples: of the harmonic mean, and of shares with noise.
    """
    pairs = ((confusion.tp, confusion.fn), (confusion.tn, confusion.fp))
    samples = [resampled_share(*pair, generator, resamples) for pair in pairs]
    if noise:
        samples = [
            np.clip(own + generator.normal(0.0, noise, resamples) / max(1, sum(pair)), 0.0, 1.0)
            for own, pair in zip(samples, pairs, strict=True)
        ]
        return around(confusion, intervals(*samples))
    harmonic_mean = intervals(*samples).harmonic_mean
    shares = Intervals(wilson(*pairs[0]), wilson(*pairs[1]), harmonic_mean)
    return around(confusion, shares)


def around(confusion: Confusion, known: Intervals) -> Intervals:
    """Intervals that reach as far as the figures themselves: Jeffreys' draws are never 0 or 1."""
    return Intervals(
        _reaching(confusion.sensitivity, known.sensitivity),
        _reaching(confusion.specificity, known.specificity),
        _reaching(confusion.harmonic_mean, known.harmonic_mean),
    )


def _reaching(figure: float, interval: Interval) -> Interval:
    return Interval(min(interval.low, figure), max(interval.high, figure))


def ranking_interval(value: float, positives: int, negatives: int) -> Interval:
    """The interval of an AUC: Newcombe's method 5 (2006, part 2), which has a width at 0 and 1 too.

    Its variance is that of Hanley and McNeil (1982), at each possible AUC rather than at the one
    that was found.

    Args:
        value: the AUC, in [0, 1]; NaN where a diagnosis is absent, of which nothing is known.
        positives, negatives: patients of each diagnosis.
    """
    if not positives or not negatives:
        return UNKNOWN
    size = (positives + negatives) / 2 - 1

    def excess(area: float) -> float:
        """Squared distance from the value, less what chance explains."""
        spread = 1 + size * (1 - area) / (2 - area) + size * area / (1 + area)
        variance = area * (1 - area) * spread / (positives * negatives)
        return (area - value) ** 2 - Z**2 * variance

    inner = min(max(value, TINY), 1 - TINY)  # at 0 and 1 themselves chance explains nothing
    low = 0.0 if value <= 0 else float(brentq(excess, 0.0, inner))
    high = 1.0 if value >= 1 else float(brentq(excess, inner, 1.0))
    return Interval(low, high)
