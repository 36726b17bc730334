"""Empirical ε of a mechanism on two neighbouring data sets, from many runs of each."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.stats import beta, norm

CONFIDENCE = 0.999


def empirical_epsilon(
    scores: Callable[[int], np.ndarray],
    neighbours: Callable[[int], np.ndarray],
    runs: int,
    delta: float,
) -> float:
    """A lower bound on ε, by the best threshold on a score.

    The threshold and its direction are chosen on half of the runs, and judged on the other half:
    so no correction for choosing is needed. Clopper-Pearson, at ``CONFIDENCE``, for either rate.

    Args:
        scores, neighbours: number of runs -> a score of each run's answer, on either data set.
        runs: of each data set, for either half.
        delta: of the guarantee.
    """
    with_patient, without = scores(runs), neighbours(runs)
    candidates = [
        (_bound(sign * with_patient > sign * t, sign * without > sign * t, delta), sign, t)
        for sign in (1, -1)
        for t in np.quantile(np.concatenate([with_patient, without]), np.linspace(0.01, 0.99, 99))
    ]
    _, sign, threshold = max(candidates)
    fresh, fresh_without = scores(runs), neighbours(runs)
    return _bound(sign * fresh > sign * threshold, sign * fresh_without > sign * threshold, delta)


def _bound(hits: np.ndarray, false_alarms: np.ndarray, delta: float) -> float:
    tail = (1 - CONFIDENCE) / 2
    k, n = int(hits.sum()), len(hits)
    low = float(beta.ppf(tail, k, n - k + 1)) if k else 0.0
    k, n = int(false_alarms.sum()), len(false_alarms)
    high = float(beta.ppf(1 - tail, k + 1, n - k)) if k < n else 1.0
    return float(np.log((low - delta) / high)) if low > delta else 0.0


def exact_epsilon(multiplier: float, delta: float) -> float:
    """ε of one Gaussian query at δ, in closed form (Balle and Wang 2018), without an accountant."""

    def excess(epsilon: float) -> float:
        half, far = 1 / (2 * multiplier), epsilon * multiplier
        return float(norm.cdf(half - far) - np.exp(epsilon) * norm.cdf(-half - far)) - delta

    return float(brentq(excess, 0.0, 100.0))
