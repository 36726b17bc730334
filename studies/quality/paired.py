"""Is one model better than another on the same films? A paired bootstrap of patients.

Patients are resampled within each fold, site and diagnosis; a patient brings all films along. Both
models are judged on the same resamples, at the ε that was fixed before. A resample is kept as how
often each film occurs, so all of them are counted at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gdshare.metrics import Interval, percentile_interval
from studies.quality.figures import Films, Verdicts, merit

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Resampled:
    """A model's figures as observed and on every resample.

    Attributes:
        harmonic_mean, auc: as observed; of several models, their means.
        harmonic_means, aucs: float64 [resamples], the same on each resample.
    """

    harmonic_mean: float
    auc: float
    harmonic_means: Float
    aucs: Float


@dataclass(frozen=True)
class Difference:
    """One model's figures minus another's, with 95% percentile intervals; NaN where an AUC is."""

    harmonic_mean: float
    harmonic_mean_interval: Interval
    auc: float
    auc_interval: Interval


def weights(films: Films, generator: np.random.Generator, resamples: int) -> Float:
    """How often each film of a fold occurs in each resample: float64 [resamples, films].

    Within each site and diagnosis as many patients are drawn, with replacement, as there are.
    """
    drawn = np.zeros((resamples, len(films.site)))
    for site in np.unique(films.site):
        for positive in (False, True):
            own = np.flatnonzero((films.site == site) & (films.positive == positive))
            if len(own):
                patients, owner = np.unique(films.patient[own], return_inverse=True)
                share = np.full(len(patients), 1.0 / len(patients))
                times = generator.multinomial(len(patients), share, size=resamples)
                drawn[:, own] = times[:, owner]
    return drawn


def resampled(models: Sequence[Sequence[Verdicts]], drawn: Sequence[Float]) -> Resampled:
    """Figures of one model, or the mean figures of several, on the given resamples.

    Args:
        models: of each model, every fold's verdicts.
        drawn: of each fold, ``weights``.
    """
    seen = [merit(folds) for folds in models]
    return Resampled(
        float(np.mean([one.confusion.harmonic_mean for one in seen])),
        float(np.mean([one.auc for one in seen])),
        np.mean([_harmonic_means(folds, drawn) for folds in models], axis=0),
        np.mean([_aucs(folds, drawn) for folds in models], axis=0),
    )


def difference(first: Resampled, second: Resampled) -> Difference:
    """The first minus the second; above 0 the first is better."""
    return Difference(
        first.harmonic_mean - second.harmonic_mean,
        percentile_interval(first.harmonic_means - second.harmonic_means),
        first.auc - second.auc,
        percentile_interval(first.aucs - second.aucs),
    )


def _harmonic_means(folds: Sequence[Verdicts], drawn: Sequence[Float]) -> Float:
    """HM of the counts summed over folds, on each resample: float64 [resamples]."""
    tp, positives, tn, negatives = (np.zeros(len(drawn[0])) for _ in range(4))
    for verdicts, times in zip(folds, drawn, strict=True):
        called, positive = verdicts.called, verdicts.positive
        tp += times @ (called & positive)
        tn += times @ (~called & ~positive)
        positives += times @ positive
        negatives += times @ ~positive
    sensitivity = tp / np.maximum(positives, 1)
    specificity = tn / np.maximum(negatives, 1)
    total = sensitivity + specificity
    return np.divide(
        2 * sensitivity * specificity, total, out=np.zeros_like(total), where=total > 0
    )


def _aucs(folds: Sequence[Verdicts], drawn: Sequence[Float]) -> Float:
    """Mean over folds of the AUC, on each resample: float64 [resamples], NaN without a diagnosis.

    Every pair of a positive and a negative film counts as often as both its films were drawn.
    """
    means = np.zeros(len(drawn[0]))
    for verdicts, times in zip(folds, drawn, strict=True):
        ratio, positive = verdicts.ratio, verdicts.positive
        if positive.all() or not positive.any():
            return np.full_like(means, np.nan)
        gap = ratio[positive][:, None] - ratio[~positive][None, :]
        wins = (gap > 0) + 0.5 * (gap == 0)
        above, below = times[:, positive], times[:, ~positive]
        pairs = above.sum(1) * below.sum(1)
        means += np.einsum("rp,rp->r", above, below @ wins.T) / pairs / len(folds)
    return means
