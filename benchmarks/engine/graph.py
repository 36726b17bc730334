"""The formula as autograd reads it: one graph through all inner steps, then one derivative."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.engine.adam_state import frozen, thaw
from benchmarks.engine.problem import MetaGradient, Problem, one_hot
from benchmarks.engine.recipe import RECIPE, raw_rate
from gdshare.distilled import Distilled
from gdshare.networks import forward


class Graph:
    """The recipe's settings, with the whole trajectory in one graph. See ``problem.Engine``."""

    def __init__(self, problem: Problem) -> None:
        self.done = 0
        self._problem = problem
        self._images = problem.start_images()
        self._rates = torch.full((problem.steps,), raw_rate(RECIPE.inner_rate))
        self._leaves = [self._images, self._rates]
        self._adam = torch.optim.Adam(self._leaves, lr=RECIPE.outer_rate, betas=RECIPE.betas)

    def gradient(self) -> MetaGradient:
        images, raw_rates = (leaf.detach().requires_grad_() for leaf in self._leaves)
        module, labels = self._problem.module, torch.arange(len(images))
        drawn = self._problem.theta0(self.done)
        theta = {name: weight.requires_grad_() for name, weight in drawn.items()}
        for rate in functional.softplus(raw_rates):
            loss = functional.cross_entropy(forward(module, theta, images), labels)
            moves = torch.autograd.grad(loss, list(theta.values()), create_graph=True)
            theta = {n: w - rate * g for (n, w), g in zip(theta.items(), moves, strict=True)}
        x, y = self._problem.minibatch(self.done)
        outer = functional.cross_entropy(forward(module, theta, x), y)
        by_images, by_rates = torch.autograd.grad(outer, (images, raw_rates))
        return MetaGradient(outer.item(), by_images, by_rates)

    def outer_step(self) -> float:
        found = self.gradient()
        self._images.grad, self._rates.grad = found.images, found.rates
        self._adam.step()
        self.done += 1
        return found.loss

    def distilled(self) -> Distilled:
        rates = functional.softplus(self._rates)
        labels = one_hot(self._problem.classes)
        return Distilled(*(t.float().numpy().copy() for t in (self._images, labels, rates)))

    def tensors(self) -> dict[str, Tensor]:
        return frozen(self._leaves, self._adam)

    def restore(self, tensors: Mapping[str, Tensor], done: int) -> None:
        thaw(tensors, self._leaves, self._adam)
        self.done = done
