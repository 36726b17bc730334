"""Training a network: on real patches, on images with soft labels, and in federated rounds."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional

from gdshare.networks import Parameters, forward

Data = tuple[Tensor, Tensor]  # float32 [n, 1, side, side], and classes int64 [n] or labels [n, 3]
Score = Callable[[Parameters], float]  # on validation patches


@dataclass(frozen=True)
class Fit:
    """How a network is trained; rate and step are chosen on validation patients."""

    rates: tuple[float, ...] = (1e-3, 3e-4)  # Adam's
    steps: int = 300  # at most
    every: int = 50  # steps between scores
    patience: int = 2  # scores without a better one after which a rate is given up
    batch: int = 32


@dataclass(frozen=True)
class Fitted:
    weights: Parameters
    score: float
    rate: float
    step: int


def trajectory(
    module: nn.Module,
    theta0: Parameters,
    data: Data,
    rate: float,
    batch: int,
    generator: torch.Generator,
    pull: float = 0.0,
) -> Iterator[Parameters]:
    """Adam's steps without end, from θ0: the weights after each, which the next one changes.

    ``pull``: FedProx's μ (Li et al. 2020, MLSys): the loss has μ/2 ‖θ - θ0‖² added.
    """
    x, y = data
    theta = {name: weight.clone().requires_grad_() for name, weight in theta0.items()}
    optimiser = torch.optim.Adam(theta.values(), lr=rate, fused=True)
    while True:
        for rows in torch.split(torch.randperm(len(x), generator=generator), batch):
            optimiser.zero_grad()
            loss = functional.cross_entropy(forward(module, theta, x[rows]), y[rows])
            if pull:
                loss = loss + pull / 2 * sum(((theta[n] - theta0[n]) ** 2).sum() for n in theta)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            yield theta


def frozen(theta: Parameters) -> Parameters:
    return {name: weight.detach().clone() for name, weight in theta.items()}


def fit(
    module: nn.Module,
    theta0: Parameters,
    data: Data,
    plan: Fit,
    score: Score,
    generator: Callable[[], torch.Generator],
) -> Fitted:
    """Train from θ0 at every rate; the best by ``score``. Each rate begins with a new generator."""
    best = Fitted(theta0, -1.0, 0.0, 0)
    for rate in plan.rates:
        own = Fitted(theta0, -1.0, rate, 0)
        steps = trajectory(module, theta0, data, rate, plan.batch, generator())
        for step, theta in enumerate(islice(steps, plan.steps), start=1):
            if step % plan.every:
                continue
            if (value := score(theta)) > own.score:
                own = Fitted(frozen(theta), value, rate, step)
            if step - own.step >= plan.patience * plan.every:
                break
        best = max(best, own, key=lambda fitted: fitted.score)
    return best


def after(steps: Iterator[Parameters], count: int) -> Parameters:
    """The weights after so many steps."""
    return frozen(deque(islice(steps, count), maxlen=1)[0])
