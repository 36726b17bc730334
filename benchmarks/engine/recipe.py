"""Wang et al. 2018, "Dataset Distillation", written from the paper's description.

All weights are one flat vector. Forward, each inner step builds its own autograd graph, which is
kept, and the next step starts from a copy cut off from it. Then the steps are walked back: the
derivative of the outer loss by the weights after a step, sent through that step's kept gradient (a
second backward pass), gives its derivative by the weights before the step, the images and the rate.

Outer optimiser and its schedule are those of the paper's experiments: Adam, rate 0.01, betas 0.5
and 0.999, halved every 40 passes over the data. Hard labels, one learned rate an inner step.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import expm1, log

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.engine.adam_state import frozen, thaw
from benchmarks.engine.problem import MetaGradient, Minibatch, Problem, one_hot
from gdshare.distilled import Distilled
from gdshare.networks import Parameters, forward

FlatNetwork = Callable[[Tensor, Tensor], Tensor]
"""(flat weights [P], patches [n, 1, side, side]) -> logits [n, C]."""


@dataclass(frozen=True)
class RecipeSettings:
    """The recipe's constants.

    Attributes:
        outer_rate: Adam's learning rate at the start.
        betas: Adam's.
        decay_every: passes over the data after which the rate is cut.
        decay: what it is then multiplied by.
        inner_rate: every inner step's rate at the start.
        batch: K, real patches a training step.
    """

    outer_rate: float = 0.01
    betas: tuple[float, float] = (0.5, 0.999)
    decay_every: int = 40
    decay: float = 0.5
    inner_rate: float = 0.02
    batch: int = 1024

    def outer_rate_at(self, epoch: int) -> float:
        """Adam's rate in a pass over the data, counted from 0."""
        return self.outer_rate * self.decay ** (epoch // self.decay_every)


RECIPE = RecipeSettings()


def raw_rate(rate: float) -> float:
    """The number whose softplus is ``rate``."""
    return log(expm1(rate))


def flat(parameters: Parameters) -> Tensor:
    """All weights as one vector [P]."""
    return torch.cat([weight.reshape(-1) for weight in parameters.values()])


def flat_network(module: nn.Module) -> FlatNetwork:
    """The network as a function of one flat weight vector."""
    named = list(module.named_parameters())
    sizes = [parameter.numel() for _, parameter in named]

    def apply(weights: Tensor, x: Tensor) -> Tensor:
        pieces = torch.split(weights, sizes)
        shaped = {n: w.view(p.shape) for (n, p), w in zip(named, pieces, strict=True)}
        return forward(module, shaped, x)

    return apply


def meta_gradient(
    network: FlatNetwork, theta0: Tensor, images: Tensor, raw_rates: Tensor, real: Minibatch
) -> MetaGradient:
    """Run all inner steps forward, keeping each one's graph, then walk them back.

    Args:
        network: of flat weights.
        theta0: float [P].
        images: float [C, 1, side, side], one a class in order.
        raw_rates: float [E * I]; a step's rate is its softplus.
        real: the minibatch the end network is judged on.
    """
    x = images.detach().requires_grad_()
    labels = torch.arange(len(x))
    rates = [r.requires_grad_() for r in functional.softplus(raw_rates.detach()).unbind()]
    before, updates = [], []
    theta = theta0.detach().requires_grad_()
    for rate in rates:
        loss = rate * functional.cross_entropy(network(theta, x), labels)
        (update,) = torch.autograd.grad(loss, theta, create_graph=True)
        before.append(theta)
        updates.append(update)
        theta = (theta - update).detach().requires_grad_()
    outer = functional.cross_entropy(network(theta, real[0]), real[1])
    (by_theta,) = torch.autograd.grad(outer, theta)

    by_x, by_rates = torch.zeros_like(x), torch.zeros_like(raw_rates)
    for step in reversed(range(len(rates))):
        # θ' = θ - update(θ, x, rate), so whatever hangs on θ' hangs on the update with minus.
        through = torch.autograd.grad(
            updates.pop(), (before.pop(), x, rates[step]), grad_outputs=-by_theta
        )
        by_theta += through[0]
        by_x += through[1]
        by_rates[step] = through[2]
    return MetaGradient(outer.item(), by_x, by_rates * torch.sigmoid(raw_rates.detach()))


class Recipe:
    """The recipe at work. See ``problem.Engine``."""

    def __init__(self, problem: Problem, settings: RecipeSettings = RECIPE) -> None:
        self.done = 0
        self._problem = problem
        self._settings = settings
        self._network = flat_network(problem.module)
        self._images = problem.start_images()
        self._rates = torch.full((problem.steps,), raw_rate(settings.inner_rate))
        self._adam = torch.optim.Adam(
            [self._images, self._rates], lr=settings.outer_rate, betas=settings.betas
        )

    def gradient(self) -> MetaGradient:
        theta0 = flat(self._problem.theta0(self.done))
        real = self._problem.minibatch(self.done)
        return meta_gradient(self._network, theta0, self._images, self._rates, real)

    def outer_step(self) -> float:
        found = self.gradient()
        self._images.grad, self._rates.grad = found.images, found.rates
        epoch = self.done // self._problem.steps_per_epoch
        self._adam.param_groups[0]["lr"] = self._settings.outer_rate_at(epoch)
        self._adam.step()
        self.done += 1
        return found.loss

    def distilled(self) -> Distilled:
        rates = functional.softplus(self._rates)
        labels = one_hot(self._problem.classes)
        return Distilled(*(t.float().numpy().copy() for t in (self._images, labels, rates)))

    def tensors(self) -> dict[str, Tensor]:
        return frozen([self._images, self._rates], self._adam)

    def restore(self, tensors: Mapping[str, Tensor], done: int) -> None:
        thaw(tensors, [self._images, self._rates], self._adam)
        self.done = done
