"""Noise on counts, for hospitals that want a guarantee: the discrete Gaussian, sampled exactly.

Each diagnosis' films are a histogram: indeterminate, below the lowest threshold, between two, above
the highest. Another film in the place of one moves a film from one bin to another, so the squared
sensitivity is 2, and noise of variance v in every bin is 1/v of zero-concentrated differential
privacy. These add up over answers, and are told as (ε, δ). How many films there are of each
diagnosis is taken as known.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from math import ceil, log, sqrt

from gdshare.bundle.guarantee import epsilon_stated
from gdshare.exact_noise import discrete_gaussian
from gdshare.metrics import Confusion

DELTA = 1e-6
_EXACTNESS = 1000
"""The variance is rounded up to a multiple of 1 / this."""


def variance_for(epsilon: float) -> Fraction:
    """The variance at which one answer spends ε at ``DELTA``."""
    least = log(1 / DELTA)
    rho = (sqrt(least + epsilon) - sqrt(least)) ** 2
    return Fraction(ceil(_EXACTNESS / rho), _EXACTNESS)


def epsilon_of(variances: Sequence[float]) -> float:
    """The ε, at ``DELTA``, that answers with noise of these variances have spent together."""
    rho = sum(1 / variance for variance in variances)
    return rho + 2 * sqrt(rho * log(1 / DELTA))


def epsilon_text(spent: float) -> str:
    """ε with two decimals, rounded up: never less than was spent."""
    return f"{epsilon_stated(spent, 2):.2f}"


def noisy(confusions: Sequence[Confusion], variance: Fraction) -> list[Confusion]:
    """Counts of the same films at every threshold, with noise; they contradict each other nowhere.

    Args:
        confusions: by ascending threshold.
        variance: of the noise in each bin.
    """
    first = confusions[0]
    positive = _noisy_called(
        first.tp + first.fn, first.indeterminate_positive, [c.tp for c in confusions], variance
    )
    negative = _noisy_called(
        first.tn + first.fp, first.indeterminate_negative, [c.fp for c in confusions], variance
    )
    positives, negatives = first.tp + first.fn, first.tn + first.fp
    (voted_p, *called_p), (voted_n, *called_n) = positive, negative
    return [
        Confusion(tp, positives - tp, negatives - fp, fp, positives - voted_p, negatives - voted_n)
        for tp, fp in zip(called_p, called_n, strict=True)
    ]


def deviation(thresholds: int, variance: Fraction) -> float:
    """The largest standard deviation of the noise on a count, before it is cut to 0 and all."""
    bins = thresholds + 2
    return sqrt(max(n * (bins - n) / bins for n in range(1, bins)) * variance)


def _noisy_called(
    films: int, indeterminate: int, called: Sequence[int], variance: Fraction
) -> list[int]:
    """Films with a vote, then those called positive at each threshold, falling from ``films``.

    The bins' noise adds up to a total that is known not to be there; every bin bears its share.
    """
    edges = [films, films - indeterminate, *called, 0]
    bins = [higher - lower + discrete_gaussian(variance) for higher, lower in pairwise(edges)]
    surplus = Fraction(sum(bins) - films, len(bins))
    above = list(accumulate(reversed([size - surplus for size in bins[1:]])))[::-1]
    return list(accumulate((min(films, max(0, round(n))) for n in above), min))
