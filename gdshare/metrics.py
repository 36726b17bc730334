"""Figures of merit from counts (Li et al. 2020, Eqs. 5 to 7; method.md sections 3 and 4)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gdshare.errors import UsageError

THRESHOLDS: tuple[float, ...] = tuple(round(0.05 * step, 2) for step in range(21))
"""The ε that a federation tries on validation films: 0, 0.05, ..., 1."""

SOURCE_THRESHOLD = 0.4
"""ε in the source."""
RESAMPLES = 2000
"""Of a bootstrap."""

SOURCE_TABLE: tuple[tuple[str, int, float, float, float], ...] = (
    ("soft-label distillation", 3, 0.886, 0.869, 0.877),
    ("hard-label distillation", 3, 0.829, 0.884, 0.856),
    ("ResNet18 on real patches", 9000, 0.814, 0.832, 0.823),
    ("ResNet18 on real patches", 6000, 0.907, 0.760, 0.827),
    ("ResNet18 on real patches", 3000, 0.914, 0.669, 0.773),
)
"""Tables 1 and 2 of the source (method, images, Sen, Spe, HM): other data, for orientation only."""


@dataclass(frozen=True)
class Confusion:
    """Films counted by diagnosis and prediction.

    Attributes:
        tp, fn, tn, fp: films; fn and tn include the indeterminate ones.
        indeterminate_positive: films of positive patients without an N or P vote.
        indeterminate_negative: films of negative patients without an N or P vote.
    """

    tp: int
    fn: int
    tn: int
    fp: int
    indeterminate_positive: int = 0
    indeterminate_negative: int = 0

    def __add__(self, other: "Confusion") -> "Confusion":
        """The counts of two sites together."""
        return Confusion(
            self.tp + other.tp,
            self.fn + other.fn,
            self.tn + other.tn,
            self.fp + other.fp,
            self.indeterminate_positive + other.indeterminate_positive,
            self.indeterminate_negative + other.indeterminate_negative,
        )

    @property
    def films(self) -> int:
        """All films counted."""
        return self.tp + self.fn + self.tn + self.fp

    @property
    def sensitivity(self) -> float:
        """TP / (TP + FN), Eq. 5; 0 when there is no positive film."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else 0.0

    @property
    def specificity(self) -> float:
        """TN / (TN + FP), Eq. 6; 0 when there is no negative film."""
        return self.tn / (self.tn + self.fp) if self.tn + self.fp else 0.0

    @property
    def harmonic_mean(self) -> float:
        """2·Sen·Spe / (Sen + Spe), Eq. 7; 0 when both are 0."""
        return harmonic_mean(self.sensitivity, self.specificity)


@dataclass(frozen=True)
class Interval:
    """A 95% percentile interval, both ends in [0, 1]."""

    low: float
    high: float


@dataclass(frozen=True)
class Intervals:
    """Bootstrap intervals of the three figures of merit."""

    sensitivity: Interval
    specificity: Interval
    harmonic_mean: Interval


def harmonic_mean(sensitivity: float, specificity: float) -> float:
    """Eq. 7: 2·Sen·Spe / (Sen + Spe); 0 when both are 0."""
    total = sensitivity + specificity
    return 2.0 * sensitivity * specificity / total if total else 0.0


def count(
    ratios: npt.NDArray[np.float64],
    indeterminate: npt.NDArray[np.bool_],
    positive: npt.NDArray[np.bool_],
    threshold: float | npt.NDArray[np.float64],
) -> Confusion:
    """Count films at a threshold: a film is predicted positive if its ratio is at least ε (Eq. 4).

    Args:
        ratios: float64 [films] in [0, 1].
        indeterminate: bool [films], no N and no P vote: predicted negative, even at ε = 0.
        positive: bool [films], the diagnosis.
        threshold: ε in [0, 1], the same for all films or float64 [films].
    """
    predicted = (ratios >= threshold) & ~indeterminate
    return Confusion(
        tp=int((predicted & positive).sum()),
        fn=int((~predicted & positive).sum()),
        tn=int((~predicted & ~positive).sum()),
        fp=int((predicted & ~positive).sum()),
        indeterminate_positive=int((indeterminate & positive).sum()),
        indeterminate_negative=int((indeterminate & ~positive).sum()),
    )


def best_threshold(
    confusions: Sequence[Confusion], thresholds: Sequence[float] = THRESHOLDS
) -> float:
    """The ε of highest HM on validation films; the middle one of several.

    Args:
        confusions: counts at each threshold, in the same order.
        thresholds: ascending.

    Raises:
        UsageError: not as many confusions as thresholds, or no film was counted.
    """
    if len(confusions) != len(thresholds) or not confusions[0].films:
        raise UsageError(
            "no validation film was counted, so no threshold can be chosen",
            remedy="label the cohort with a validation share",
        )
    scores = [confusion.harmonic_mean for confusion in confusions]
    best = [index for index, score in enumerate(scores) if score == max(scores)]
    return thresholds[best[len(best) // 2]]


def intervals(sens: npt.NDArray[np.float64], spec: npt.NDArray[np.float64]) -> Intervals:
    """Percentile intervals of Sen, Spe and HM from resampled Sen and Spe, float64 [resamples]."""
    total = sens + spec
    hm = np.divide(2 * sens * spec, total, out=np.zeros_like(total), where=total > 0)
    return Intervals(percentile_interval(sens), percentile_interval(spec), percentile_interval(hm))


def percentile_interval(values: npt.NDArray[np.float64]) -> Interval:
    """From the 2.5th to the 97.5th percentile."""
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(low), float(high))


def auc(ratios: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve of the ratio: the Mann-Whitney statistic, with ties as half.

    Args:
        ratios: float64 [films].
        positive: bool [films], the diagnosis.

    Returns:
        in [0, 1]; NaN when a diagnosis is absent.
    """
    above = ratios[positive][:, None] - ratios[~positive][None, :]
    return float(np.mean((above > 0) + 0.5 * (above == 0))) if above.size else float("nan")
