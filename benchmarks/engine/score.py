"""Scoring distilled images without any rival's code, by training on them as a receiver would."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.engine.problem import Minibatch
from gdshare.distilled import Distilled
from gdshare.networks import Parameters, forward
from gdshare.training import patch_accuracy


@dataclass(frozen=True)
class Score:
    """Class-balanced patch accuracy over fresh θ0.

    Attributes:
        mean: in [0, 1].
        deviation: sample standard deviation over θ0.
    """

    mean: float
    deviation: float


def trained(module: nn.Module, theta0: Parameters, distilled: Distilled, steps: int) -> Parameters:
    """Take ``steps`` plain gradient steps from θ0 on the distilled images, each at its rate."""
    images, labels = torch.from_numpy(distilled.images), torch.from_numpy(distilled.labels)
    theta = theta0
    for rate in torch.from_numpy(distilled.learning_rates).expand(steps):
        leaves = {name: weight.detach().requires_grad_() for name, weight in theta.items()}
        loss: Tensor = functional.cross_entropy(forward(module, leaves, images), labels)
        slopes = torch.autograd.grad(loss, list(leaves.values()))
        theta = {
            name: weight.detach() - rate * slope
            for (name, weight), slope in zip(leaves.items(), slopes, strict=True)
        }
    return theta


def score(
    module: nn.Module,
    inits: Sequence[Parameters],
    distilled: Distilled,
    steps: int,
    real: Minibatch,
) -> Score:
    """Train from each of two or more θ0 and score each network on real patches."""
    accuracies = [
        patch_accuracy(module, trained(module, theta0, distilled, steps), *real) for theta0 in inits
    ]
    return Score(fmean(accuracies), stdev(accuracies))
