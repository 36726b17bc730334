"""The patch score: class-balanced patch accuracy, by which checkpoints are chosen."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

import torch
from scipy.stats import t as student_t
from torch import Tensor, nn

from gdshare.distill.synthetic import Distilled
from gdshare.distill.unroll import trajectory_end
from gdshare.networks import Parameters
from gdshare.protocol import CLASSES
from gdshare.training import patch_accuracy

CHANCE = 1.0 / len(CLASSES)


@dataclass(frozen=True)
class PatchScore:
    """Patch scores of the same distilled data over fresh θ0.

    Attributes:
        values: one class-balanced accuracy in [0, 1] for each θ0.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over θ0."""
        return sum(self.values) / len(self.values)

    @property
    def deviation(self) -> float:
        """Sample standard deviation over θ0; 0 for a single one."""
        if len(self.values) < 2:
            return 0.0
        return sqrt(sum((v - self.mean) ** 2 for v in self.values) / (len(self.values) - 1))

    @property
    def half_width(self) -> float:
        """Half of the mean's two-sided 95% interval over θ0 (Student's t); infinite for one θ0."""
        count = len(self.values)
        if count < 2:
            return inf
        return float(student_t.ppf(0.975, count - 1)) * self.deviation / sqrt(count)

    @property
    def lower(self) -> float:
        """Lower end of that interval; minus infinity for one θ0, which shows no spread."""
        return self.mean - self.half_width


def patch_score(
    module: nn.Module,
    inits: Sequence[Parameters],
    distilled: Distilled,
    steps: int,
    real: tuple[Tensor, Tensor],
) -> PatchScore:
    """Train from each θ0 on the distilled data and score each end on real patches.

    Args:
        module: the network's shape.
        inits: fresh θ0, never used in training, on the device of ``real``.
        distilled: images, labels, learning rates.
        steps: E · I.
        real: (float [n, 1, side, side] normalised, int64 [n]).
    """
    device = real[0].device
    images, labels, rates = (
        torch.from_numpy(array).to(device)
        for array in (distilled.images, distilled.labels, distilled.learning_rates)
    )
    return PatchScore(
        tuple(
            patch_accuracy(
                module, trajectory_end(module, theta0, images, labels, rates, steps), *real
            )
            for theta0 in inits
        )
    )
