"""Meta-gradients: how the outer loss moves with the distilled images, labels and learning rates.

Pure functions of their arguments. Three ways to unroll the inner trajectory θ0, θ1, …:

``full``
    through all of it (Wang et al. 2018, on whose code the source builds).
``window``
    up to a step of the caller's choice, and back through the last few steps only. With a random
    end this is the random truncation of Feng et al. 2023 (RaT-BPTT).
``greedy``
    Algorithm 1 of Li et al. 2020 read literally: each step sees only itself.

None builds an autograd graph: the derivative runs back step by step (the adjoint method), with
Hessian-vector products from ``gdshare.distill.chain``. The plain graph is the tests' oracle.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from gdshare.distill.chain.network import Chain, chain_of
from gdshare.distill.chain.sweeps import (
    Step,
    add_gradient,
    outer_gradient,
    pull_back,
    tape_bytes,
)
from gdshare.distill.chain.weights import Weights
from gdshare.networks import Parameters

TAPES_BYTES = 256 * 2**20
"""Memory that the tapes of a window may take before weights are kept in their stead."""


@dataclass(frozen=True)
class Unknowns:
    """What is learned, in the unconstrained form that an optimiser may move freely.

    Attributes:
        images: float [sets * M, 1, side, side], x̃ in normalised units.
        logits: float [sets * M, classes]; ỹ = softmax(logits). Hard labels: logits nobody moves.
        rates: float [1] or [E * I]; α̃ = softplus(rates), positive by construction.
    """

    images: Tensor
    logits: Tensor
    rates: Tensor

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Images, logits, rates."""
        return self.images, self.logits, self.rates


@dataclass(frozen=True)
class Labelled:
    """Distilled data as the inner steps see them.

    Attributes:
        images: float [sets * M, 1, side, side].
        labels: float [sets * M, classes], rows on the simplex.
        rates: float [1] or [E * I], positive: α̃ itself.
        sets: step t uses the t-th set of M images, beginning again after the last.
    """

    images: Tensor
    labels: Tensor
    rates: Tensor
    sets: int = 1

    def at(self, step: int) -> tuple[slice, Tensor, Tensor]:
        """Rows, images and labels of a step."""
        size = len(self.images) // self.sets
        first = step % self.sets * size
        rows = slice(first, first + size)
        return rows, self.images[rows], self.labels[rows]

    def rates_of(self, steps: int) -> list[float]:
        """α̃ of the first ``steps`` steps."""
        rates: list[float] = self.rates.expand(max(steps, len(self.rates)))[:steps].tolist()
        return rates


@dataclass(frozen=True)
class MetaGradient:
    """The outer loss (Eq. 2), nats, and its derivative by the three unknowns (Eq. 3)."""

    loss: float
    images: Tensor
    logits: Tensor
    rates: Tensor

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """By images, logits, rates."""
        return self.images, self.logits, self.rates


def labelled(unknowns: Unknowns, targets: Tensor, sets: int) -> Labelled:
    """The constrained values of unknowns.

    Args:
        unknowns: free values.
        targets: one-hot rows [sets * M, classes] when labels are hard, else an empty tensor: ỹ is
            then softmax(logits).
        sets: of images.
    """
    labels = targets if targets.numel() else functional.softmax(unknowns.logits, dim=1)
    return Labelled(unknowns.images, labels, functional.softplus(unknowns.rates), sets)


def full(
    chain: Chain,
    theta0: Parameters,
    unknowns: Unknowns,
    targets: Tensor,
    real: tuple[Tensor, Tensor],
    steps: int,
    sets: int = 1,
) -> MetaGradient:
    """Take ``steps`` inner steps from θ0 and differentiate the end's loss through all of them.

    Args:
        chain: the network.
        theta0: initial weights, not modified.
        unknowns: not modified.
        targets: see ``labelled``; the logits' derivative is zero when labels are hard.
        real: a minibatch, (float [K, 1, side, side] normalised, int64 [K] classes).
        steps: E · I.
        sets: of images.
    """
    return window(chain, theta0, unknowns, targets, real, steps, steps, sets)


@torch.no_grad()
def window(
    chain: Chain,
    theta0: Parameters,
    unknowns: Unknowns,
    targets: Tensor,
    real: tuple[Tensor, Tensor],
    stop: int,
    length: int,
    sets: int = 1,
) -> MetaGradient:
    """Take ``stop`` inner steps from θ0 and differentiate through the last ``length`` of them.

    What the steps before leave behind counts as constant: their α̃ get derivative zero.

    Args:
        chain, theta0, unknowns, targets, real, sets: as for ``full``.
        stop: steps taken, at least 1.
        length: steps differentiated through, from 1 to ``stop``.
    """
    data = labelled(unknowns, targets, sets)
    theta = chain.pack(theta0)
    first = stop - length
    _advance(chain, theta, data, 0, first)
    trail = _Trajectory(chain, theta, data, first, stop)
    loss, v = outer_gradient(chain, theta, *real)
    return _pulled(loss, trail.back(v), unknowns, targets, data)


@torch.no_grad()
def greedy(
    chain: Chain,
    theta: Parameters,
    unknowns: Unknowns,
    targets: Tensor,
    real: tuple[Tensor, Tensor],
    step: int,
    sets: int = 1,
) -> tuple[MetaGradient, Parameters]:
    """Take one inner step and differentiate the loss after it through this step alone.

    Args:
        chain, unknowns, targets, real, sets: as for ``full``.
        theta: weights before the step, not modified.
        step: its number in the trajectory, from 0: decides α̃ and the set of images.

    Returns:
        the derivatives, and the weights after the step.
    """
    data = labelled(unknowns, targets, sets)
    moved = chain.pack(theta)
    trail = _Trajectory(chain, moved, data, step, step + 1)
    after = chain.unpack(moved, theta)
    loss, v = outer_gradient(chain, moved, *real)
    return _pulled(loss, trail.back(v), unknowns, targets, data), after


@torch.no_grad()
def trajectory_end(module: nn.Module, theta0: Parameters, data: Labelled, steps: int) -> Parameters:
    """Train from θ0 on distilled data: what a receiver of a bundle does.

    Args:
        module: the network.
        theta0: initial weights, not modified.
        data: images, labels and rates.
        steps: E · I.
    """
    chain = chain_of(module, data.images.shape[-1])
    theta = chain.pack(theta0)
    _advance(chain, theta, data, 0, steps)
    return chain.unpack(theta, theta0)


@dataclass(frozen=True)
class _StepGradient:
    """What one differentiated step adds to the unknowns' derivatives."""

    step: int
    rows: slice
    slope: Tensor
    images: Tensor
    labels: Tensor


class _Trajectory:
    """A stretch of steps, taken so that it can be walked back.

    Kept of each step is its tape, from which the step can be undone, or the weights before it, from
    which its tape can be made again: the tape while it takes no more memory than the weights (small
    patches, large networks) or little enough, so that memory never grows by more than a set of
    weights a step beyond that.
    """

    def __init__(self, chain: Chain, theta: Weights, data: Labelled, start: int, stop: int) -> None:
        self._chain, self._theta, self._data, self._start = chain, theta, data, start
        self._kept: list[Step | Weights] = []
        self._rates = data.rates_of(stop)
        tapes = True
        for step in range(start, stop):
            before = None if tapes else theta.copy()
            taken = self._step(theta, step, -self._rates[step])
            if step == start and not _affordable(taken, theta, stop - start):
                # Too late to copy the weights before this step, so its tape stays: once.
                tapes = False
            self._kept.append(taken if before is None else before)

    def _step(self, theta: Weights, step: int, scale: float) -> Step:
        _, images, labels = self._data.at(step)
        return add_gradient(self._chain, theta, images, labels, self._rates[step], theta, scale)

    def back(self, v: Weights) -> Iterator[_StepGradient]:
        """Walk back from the end, pulling the derivative ``v`` of a loss there along, in place."""
        theta = self._theta
        for step in reversed(range(self._start, self._start + len(self._kept))):
            kept = self._kept.pop()
            rewind = isinstance(kept, Step)
            if not isinstance(kept, Step):
                theta = kept
                kept = self._step(theta, step, 0.0)
            product = pull_back(self._chain, theta, kept, v, rewind, step == self._start)
            rows, _, _ = self._data.at(step)
            scale = -self._rates[step]
            yield _StepGradient(
                step, rows, -product.slope, scale * product.by_images, scale * product.by_labels
            )


def _affordable(step: Step, theta: Weights, length: int) -> bool:
    size = tape_bytes(step)
    return size <= theta.nbytes or size * length <= TAPES_BYTES


def _advance(chain: Chain, theta: Weights, data: Labelled, start: int, stop: int) -> None:
    rates = data.rates_of(stop)
    for step in range(start, stop):
        _, images, labels = data.at(step)
        add_gradient(chain, theta, images, labels, rates[step], theta, -rates[step])


def _pulled(
    loss: float, parts: Iterator[_StepGradient], unknowns: Unknowns, targets: Tensor, data: Labelled
) -> MetaGradient:
    """Sum the steps' parts, and go on to the unconstrained unknowns."""
    by_images, by_labels = torch.zeros_like(data.images), torch.zeros_like(data.labels)
    by_rates = torch.zeros_like(data.rates)
    for part in parts:
        by_images[part.rows] += part.images
        by_labels[part.rows] += part.labels
        by_rates[part.step if len(by_rates) > 1 else 0] += part.slope
    labels = data.labels
    by_logits = labels * (by_labels - (labels * by_labels).sum(1, keepdim=True))
    if targets.numel():
        by_logits = torch.zeros_like(by_logits)
    return MetaGradient(loss, by_images, by_logits, by_rates * unknowns.rates.sigmoid())
