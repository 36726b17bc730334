"""The patch score: class-balanced patch accuracy, by which checkpoints are chosen."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

import torch
from scipy.stats import t as student_t
from torch import Tensor, nn

from gdshare.distill.score_record import ScoreRecord, tensors_digest
from gdshare.distill.unroll import InnerData, trajectory_end
from gdshare.distilled import Distilled
from gdshare.networks import Parameters
from gdshare.patch_tensors import patch_accuracy


@dataclass(frozen=True)
class PatchScore:
    """Patch scores of the same distilled data over fresh θ0.

    Attributes:
        values: class-balanced accuracies in [0, 1], one for each θ0.
        windows: on how many windows each was taken; 0 when unknown.
    """

    values: tuple[float, ...]
    windows: int = 0

    @property
    def mean(self) -> float:
        """Mean over θ0."""
        return sum(self.values) / len(self.values)

    @property
    def deviation(self) -> float:
        """Sample standard deviation over θ0; 0 for a single θ0."""
        if len(self.values) < 2:
            return 0.0
        return sqrt(sum((v - self.mean) ** 2 for v in self.values) / (len(self.values) - 1))

    @property
    def half_width(self) -> float:
        """Half of the mean's two-sided 95% interval.

        Over several θ0, by Student's t. A single θ0 has no spread: then over the windows, binomial,
        as if they were independent (windows of one film are not, so it is too narrow); infinite
        when the number of windows is unknown.
        """
        count = len(self.values)
        if count > 1:
            return float(student_t.ppf(0.975, count - 1)) * self.deviation / sqrt(count)
        if not self.windows:
            return inf
        return 1.96 * sqrt(self.mean * (1 - self.mean) / self.windows)

    @property
    def lower(self) -> float:
        """Lower end of that interval."""
        return self.mean - self.half_width


def score_record(distilled: Distilled, score: PatchScore) -> ScoreRecord:
    """What ``score.json`` says of a result."""
    return ScoreRecord(
        tensors_sha256=tensors_digest(distilled),
        score=score.mean,
        deviation=score.deviation,
        low=max(0.0, score.lower),
        inits=len(score.values),
        windows=score.windows,
    )


def tensors_of(distilled: Distilled, sets: int, device: torch.device) -> InnerData:
    """A result as the inner steps use it."""
    images, labels, rates = (
        torch.from_numpy(array.copy()).to(device)
        for array in (distilled.images, distilled.labels, distilled.learning_rates)
    )
    return InnerData(images, labels, rates, sets)


def patch_score(
    module: nn.Module,
    inits: Sequence[Parameters],
    data: InnerData,
    steps: int,
    real: tuple[Tensor, Tensor],
) -> PatchScore:
    """Train from each θ0 on the distilled data and score the result on real patches.

    Args:
        module: the network's shape.
        inits: fresh θ0, never used in training, on the device of ``real``.
        data: images, labels, learning rates.
        steps: E · I.
        real: (float [n, 1, side, side] normalised, int64 [n]).
    """
    ends = (trajectory_end(module, theta0, data, steps) for theta0 in inits)
    return PatchScore(tuple(patch_accuracy(module, end, *real) for end in ends))
