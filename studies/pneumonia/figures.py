"""Balanced accuracy of networks, and of one side minus the other. Pure functions on arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gdshare.metrics import Interval, percentile_interval

Calls = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float64]

POINTS = 100.0


@dataclass(frozen=True)
class Judged:
    """One seed's networks on the test images.

    Attributes:
        truth: uint8 [images], 0 normal and 1 pneumonia.
        distilled: uint8 [networks, images], what those trained on distilled images call them.
        real: uint8 [images], what the one trained on real images does.
    """

    truth: Calls
    distilled: Calls
    real: Calls

    def teams(self, size: int) -> Calls:
        """What disjoint teams of the networks call the images by most votes; a tie is normal.

        Returns:
            uint8 [teams, images].
        """
        count = len(self.distilled) // size
        votes = self.distilled[: count * size].reshape(count, size, -1).sum(1, dtype=np.int64)
        called: Calls = (2 * votes > size).astype(np.uint8)
        return called


@dataclass(frozen=True)
class Gap:
    """Balanced accuracy of one side minus that of another, in points, with a 95% interval."""

    points: float
    interval: Interval


def balanced_accuracy(called: Calls, truth: Calls) -> float:
    """The mean over classes of the share called right: [images] and [images] -> [0, 1]."""
    return float(
        _balanced((called == truth).astype(np.float64), np.ones((1, len(truth))), truth)[0]
    )


def resamples(truth: Calls, generator: np.random.Generator, count: int) -> Float:
    """How often each image occurs in each resample: float64 [count, images].

    Of each class as many images are drawn, with replacement, as there are.
    """
    drawn = np.zeros((count, len(truth)))
    for label in np.unique(truth):
        own = np.flatnonzero(truth == label)
        share = np.full(len(own), 1.0 / len(own))
        drawn[:, own] = generator.multinomial(len(own), share, size=count)
    return drawn


def gap(first: Sequence[Calls], second: Sequence[Calls], truth: Calls, drawn: Float) -> Gap:
    """How far the mean balanced accuracy of some models is above that of others.

    Both are judged on the same resamples. Only the images are resampled: the spread between seeds
    and θ0 is averaged over, and not in the interval.

    Args:
        first, second: of each model, uint8 [images].
        truth: uint8 [images].
        drawn: float64 [count, images], ``resamples``.
    """
    # Balanced accuracy is linear in the hits, so the models' mean hits have the mean accuracy.
    ahead = _mean_hits(first, truth) - _mean_hits(second, truth)
    (observed,) = POINTS * _balanced(ahead, np.ones((1, len(truth))), truth)
    interval = percentile_interval(POINTS * _balanced(ahead, drawn, truth))
    return Gap(float(observed), interval)


def _mean_hits(models: Sequence[Calls], truth: Calls) -> Float:
    hits: Float = np.mean([called == truth for called in models], axis=0, dtype=np.float64)
    return hits


def _balanced(hits: Float, times: Float, truth: Calls) -> Float:
    """Float64 [images] hits counted [count, images] times -> balanced accuracy, [count]."""
    shares = [
        times[:, truth == label] @ hits[truth == label] / times[:, truth == label].sum(1)
        for label in np.unique(truth)
    ]
    means: Float = np.mean(shares, axis=0)
    return means
