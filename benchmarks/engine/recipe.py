"""Wang et al. 2018, "Dataset Distillation", written from the paper's description.

``Recipe`` keeps all weights in one flat vector. Forward, each inner step builds an autograd graph
of its own, and the next step starts from a copy detached from it. Then it walks the steps back: the
derivative of the outer loss by the weights after a step, sent through that step's gradient (a
second backward pass), gives the derivative by the weights before it, the images and the rate.

``Graph`` is the formula as a reader would type it: one graph through all inner steps.

The outer optimiser and its schedule are those of the paper's experiments: Adam, rate 0.01, betas
0.5 and 0.999, halved every 40 passes over the data. Hard labels, one learned rate an inner step.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import expm1, log
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim import Adam, Optimizer

from benchmarks.engine.tasks import MetaGradient, Problem
from gdshare.distilled import Distilled
from gdshare.networks import Parameters, forward


@dataclass(frozen=True)
class RecipeSettings:
    """The recipe's constants; Adam's rate falls after so many passes over the data."""

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


class Learner:
    """Images and raw rates that torch's Adam moves, with hard labels."""

    def __init__(self, problem: Problem, images: Tensor, rates: Tensor, adam: Optimizer) -> None:
        self.done = 0
        self._problem, self._leaves, self._adam = problem, [images, rates], adam

    def distilled(self) -> Distilled:
        images, rates = self._leaves
        parts = images, self._problem.hard_labels(), functional.softplus(rates).flatten()
        return Distilled(*(part.detach().float().numpy().copy() for part in parts))

    def state(self) -> dict[str, Any]:
        leaves = [leaf.detach() for leaf in self._leaves]
        return {"done": self.done, "leaves": leaves, "adam": self._adam.state_dict()}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        self.done = int(state["done"])
        for leaf, value in zip(self._leaves, state["leaves"], strict=True):
            leaf.copy_(value)
        self._adam.load_state_dict(state["adam"])


class Recipe(Learner):
    """The recipe at work. See ``tasks.Engine``."""

    def __init__(self, problem: Problem) -> None:
        leaves = problem.start_images(), torch.full((problem.steps,), raw_rate(RECIPE.inner_rate))
        super().__init__(problem, *leaves, Adam(leaves, lr=RECIPE.outer_rate, betas=RECIPE.betas))
        self._named = list(problem.module.named_parameters())

    def gradient(self) -> MetaGradient:
        images, raw_rates = self._leaves[0].detach().requires_grad_(), self._leaves[1]
        labels = torch.arange(len(images))
        rates = [rate.requires_grad_() for rate in functional.softplus(raw_rates).unbind()]
        starts, updates = [], []
        theta = flat(self._problem.theta0(self.done)).requires_grad_()
        for rate in rates:
            loss = rate * functional.cross_entropy(self._logits(theta, images), labels)
            (update,) = torch.autograd.grad(loss, theta, create_graph=True)
            starts.append(theta)
            updates.append(update)
            theta = (theta - update).detach().requires_grad_()
        x, y = self._problem.minibatch(self.done)
        outer = functional.cross_entropy(self._logits(theta, x), y)
        (by_theta,) = torch.autograd.grad(outer, theta)

        by_images, by_rates = torch.zeros_like(images), torch.zeros_like(raw_rates)
        for step in reversed(range(len(rates))):
            # θ' = θ - update(θ, x, rate), so the update passes the derivative on with a minus.
            through = torch.autograd.grad(
                updates.pop(), (starts.pop(), images, rates[step]), grad_outputs=-by_theta
            )
            by_theta += through[0]
            by_images += through[1]
            by_rates[step] = through[2]
        return MetaGradient(outer.item(), by_images, by_rates * torch.sigmoid(raw_rates))

    def _logits(self, theta: Tensor, x: Tensor) -> Tensor:
        """Logits [n, C] of patches [n, 1, side, side] by flat weights [P]."""
        parts = torch.split(theta, [parameter.numel() for _, parameter in self._named])
        shaped = {n: w.view(p.shape) for (n, p), w in zip(self._named, parts, strict=True)}
        return forward(self._problem.module, shaped, x)

    def outer_step(self) -> float:
        gradient = self.gradient()
        for leaf, slope in zip(self._leaves, (gradient.images, gradient.rates), strict=True):
            leaf.grad = slope
        epoch = self.done // self._problem.steps_per_epoch
        self._adam.param_groups[0]["lr"] = RECIPE.outer_rate_at(epoch)
        self._adam.step()
        self.done += 1
        return gradient.loss


class Graph(Recipe):
    """The same settings, with the whole trajectory in one autograd graph."""

    def gradient(self) -> MetaGradient:
        images, raw_rates = (leaf.detach().requires_grad_() for leaf in self._leaves)
        module, labels = self._problem.module, torch.arange(len(images))
        theta0 = self._problem.theta0(self.done)
        theta = {name: weight.requires_grad_() for name, weight in theta0.items()}
        for rate in functional.softplus(raw_rates):
            loss = functional.cross_entropy(forward(module, theta, images), labels)
            slopes = torch.autograd.grad(loss, list(theta.values()), create_graph=True)
            theta = {n: w - rate * g for (n, w), g in zip(theta.items(), slopes, strict=True)}
        x, y = self._problem.minibatch(self.done)
        outer = functional.cross_entropy(forward(module, theta, x), y)
        by_images, by_rates = torch.autograd.grad(outer, (images, raw_rates))
        return MetaGradient(outer.item(), by_images, by_rates)


def raw_rate(rate: float) -> float:
    """The number whose softplus is ``rate``."""
    return log(expm1(rate))


def flat(parameters: Parameters) -> Tensor:
    """All weights as one vector [P]."""
    return torch.cat([weight.reshape(-1) for weight in parameters.values()])
