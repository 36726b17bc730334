"""Meta-gradients: the outer loss (Eq. 2) and its derivatives by images, labels and rates (Eq. 3).

Equations are those of Li et al. 2020. All functions are pure. The inner trajectory θ0, θ1, … takes
steps by Eq. 1. Three ways to unroll it:

``full``
    through all of it (Wang et al. 2018; the source builds on their code).
``window``
    up to a given step, and back through the last few steps only. With a random end this is the
    random truncation of Feng et al. 2023 (RaT-BPTT).
``greedy``
    Algorithm 1 of Li et al. 2020 read literally: each step is differentiated alone.

No autograd graph is built: the derivative runs back step by step (the adjoint method), with
Hessian-vector products from ``gdshare.distill.chain``. The tests compare it with the plain graph.

Shapes in the comments::

    M, m  distilled images in all; of one step, m = M / sets
    s     side of a patch in px
    L     classes
    R     learning rates: 1, or one for each of the E·I steps
    K     real patches of a minibatch
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
"""Memory that the tapes of a window may take before weights are kept in their place."""


@dataclass(frozen=True)
class Unknowns:
    """What is learned, in an unconstrained form that an optimiser may move freely.

    Attributes:
        images: float [M, 1, s, s], x̃ in normalised units.
        logits: float [M, L]; ỹ = softmax(logits). With hard labels nothing moves them.
        rates: float [R]; α̃ = softplus(rates), positive by construction.
    """

    images: Tensor
    logits: Tensor
    rates: Tensor

    @property
    def classes(self) -> int:
        """L, how many classes there are."""
        return self.logits.shape[1]

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Images, logits, rates."""
        return self.images, self.logits, self.rates


@dataclass(frozen=True)
class InnerData:
    """Distilled data as the inner steps use it.

    Attributes:
        images: float [M, 1, s, s], x̃.
        labels: float [M, L], ỹ: rows on the simplex.
        rates: float [R], positive: α̃ itself.
        sets: step t uses set t modulo ``sets``, of m images.
    """

    images: Tensor
    labels: Tensor
    rates: Tensor
    sets: int = 1

    def at(self, step: int) -> tuple[slice, Tensor, Tensor]:
        """Rows, images [m, 1, s, s] and labels [m, L] of a step."""
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
    """The outer loss (Eq. 2) and its derivatives by the unknowns, which Eq. 3 descends.

    Attributes:
        loss: nats.
        images: float [M, 1, s, s].
        logits: float [M, L].
        rates: float [R].
    """

    loss: float
    images: Tensor
    logits: Tensor
    rates: Tensor

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """By images, logits, rates."""
        return self.images, self.logits, self.rates


def constrain(unknowns: Unknowns, hard_labels: Tensor, sets: int) -> InnerData:
    """The images, labels ỹ and rates α̃ that unknowns stand for.

    Args:
        unknowns: unconstrained values.
        hard_labels: one-hot rows [M, L], or an empty tensor where labels are soft: then
            ỹ = softmax(logits).
        sets: that the images are divided into.
    """
    labels = hard_labels if hard_labels.numel() else functional.softmax(unknowns.logits, dim=1)
    return InnerData(unknowns.images, labels, functional.softplus(unknowns.rates), sets)


def full(
    chain: Chain,
    theta0: Parameters,
    unknowns: Unknowns,
    hard_labels: Tensor,
    real: tuple[Tensor, Tensor],
    steps: int,
    sets: int = 1,
) -> MetaGradient:
    """Take ``steps`` inner steps from θ0 and differentiate the loss at the end through all of them.

    Args:
        chain: the network.
        theta0: initial weights, not modified.
        unknowns: not modified.
        hard_labels: see ``constrain``; where labels are hard, the logits' derivative is zero.
        real: a minibatch, (float [K, 1, s, s] normalised, int64 [K] classes).
        steps: E · I.
        sets: that the images are divided into.
    """
    return window(chain, theta0, unknowns, hard_labels, real, steps, steps, sets)


@torch.no_grad()
def window(
    chain: Chain,
    theta0: Parameters,
    unknowns: Unknowns,
    hard_labels: Tensor,
    real: tuple[Tensor, Tensor],
    stop: int,
    length: int,
    sets: int = 1,
) -> MetaGradient:
    """Take ``stop`` inner steps from θ0 and differentiate through the last ``length`` of them.

    The weights before the window count as constant: the α̃ of earlier steps get derivative zero.

    Args:
        chain, theta0, unknowns, hard_labels, real, sets: as for ``full``.
        stop: steps taken, at least 1.
        length: steps differentiated through, from 1 to ``stop``.
    """
    data = constrain(unknowns, hard_labels, sets)
    theta = chain.pack(theta0)
    first = stop - length
    _advance(chain, theta, data, 0, first)
    trajectory = _Trajectory(chain, theta, data, first, stop)
    loss, v = outer_gradient(chain, theta, *real)
    return _meta_gradient(loss, trajectory.back(v), unknowns, hard_labels, data)


@torch.no_grad()
def greedy(
    chain: Chain,
    theta: Parameters,
    unknowns: Unknowns,
    hard_labels: Tensor,
    real: tuple[Tensor, Tensor],
    step: int,
    sets: int = 1,
) -> tuple[MetaGradient, Parameters]:
    """Take one inner step and differentiate the loss after it through this step alone.

    Args:
        chain, unknowns, hard_labels, real, sets: as for ``full``.
        theta: weights before the step, not modified.
        step: its number in the trajectory, from 0: decides α̃ and the set of images.

    Returns:
        the meta-gradient, and the weights after the step.
    """
    data = constrain(unknowns, hard_labels, sets)
    packed = chain.pack(theta)
    trajectory = _Trajectory(chain, packed, data, step, step + 1)
    after = chain.unpack(packed, theta)
    loss, v = outer_gradient(chain, packed, *real)
    return _meta_gradient(loss, trajectory.back(v), unknowns, hard_labels, data), after


@torch.no_grad()
def trajectory_end(
    module: nn.Module, theta0: Parameters, data: InnerData, steps: int
) -> Parameters:
    """Train from θ0 on distilled data by Eq. 1: what a receiver of a bundle does.

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
    """What one differentiated step adds to the derivatives.

    Attributes:
        step: its number in the trajectory.
        rows: of the images that it used.
        by_rate: scalar, by α̃ of this step.
        by_images: [m, 1, s, s].
        by_labels: [m, L].
    """

    step: int
    rows: slice
    by_rate: Tensor
    by_images: Tensor
    by_labels: Tensor


class _Trajectory:
    """A stretch of inner steps, taken so that it can be walked back.

    Of each step it keeps either the tape, from which the step can be undone, or the weights before
    it, from which the tape can be made again. Tapes are kept while one takes no more memory than
    the weights (small patches, large networks) or all of them little enough. So memory never grows
    by more than a set of weights a step beyond that.
    """

    def __init__(
        self, chain: Chain, theta: Weights, data: InnerData, start: int, stop: int
    ) -> None:
        self._chain, self._theta, self._data, self._start = chain, theta, data, start
        self._records: list[Step | Weights] = []
        self._rates = data.rates_of(stop)
        keep_tapes = True
        for step in range(start, stop):
            before = None if keep_tapes else theta.copy()
            record = self._step(theta, step, -self._rates[step])
            if step == start and not _tapes_fit(record, theta, stop - start):
                # Too late to copy the weights before this step, so its tape stays.
                keep_tapes = False
            self._records.append(record if before is None else before)

    def _step(self, theta: Weights, step: int, scale: float) -> Step:
        _, images, labels = self._data.at(step)  # [m, 1, s, s], [m, L]
        return add_gradient(self._chain, theta, images, labels, self._rates[step], theta, scale)

    def back(self, v: Weights) -> Iterator[_StepGradient]:
        """Walk back from the end, pulling the derivative ``v`` of a loss there along, in place."""
        theta = self._theta
        for step in reversed(range(self._start, self._start + len(self._records))):
            record = self._records.pop()
            rewind = isinstance(record, Step)
            if not isinstance(record, Step):
                theta = record
                record = self._step(theta, step, 0.0)
            derivative = pull_back(self._chain, theta, record, v, rewind, step == self._start)
            rows, _, _ = self._data.at(step)
            rate = self._rates[step]
            # θ' = θ - α̃ ∇ℓ, so ∂L/∂α̃ = -∇ℓ·v, and by x̃ and ỹ -α̃ times the slope's derivative.
            yield _StepGradient(
                step,
                rows,
                -derivative.slope,
                -rate * derivative.by_images,
                -rate * derivative.by_labels,
            )


def _tapes_fit(step: Step, theta: Weights, length: int) -> bool:
    size = tape_bytes(step)
    return size <= theta.nbytes or size * length <= TAPES_BYTES


def _advance(chain: Chain, theta: Weights, data: InnerData, start: int, stop: int) -> None:
    """Take inner steps, each θ ← θ - α̃ ∇ℓ(x̃, ỹ, θ) (Eq. 1), in place."""
    rates = data.rates_of(stop)
    for step in range(start, stop):
        _, images, labels = data.at(step)  # [m, 1, s, s], [m, L]
        add_gradient(chain, theta, images, labels, rates[step], theta, -rates[step])


def _meta_gradient(
    loss: float,
    steps: Iterator[_StepGradient],
    unknowns: Unknowns,
    hard_labels: Tensor,
    data: InnerData,
) -> MetaGradient:
    """Sum over the steps, and go on from ỹ and α̃ to the logits and the unconstrained rates."""
    by_images = torch.zeros_like(data.images)  # [M, 1, s, s]
    by_labels = torch.zeros_like(data.labels)  # [M, L]
    by_rates = torch.zeros_like(data.rates)  # [R]
    for part in steps:
        by_images[part.rows] += part.by_images
        by_labels[part.rows] += part.by_labels
        by_rates[part.step if len(by_rates) > 1 else 0] += part.by_rate
    labels = data.labels  # [M, L]
    by_logits = labels * (by_labels - (labels * by_labels).sum(1, keepdim=True))  # [M, L]
    if hard_labels.numel():
        by_logits = torch.zeros_like(by_logits)
    by_unconstrained = by_rates * unknowns.rates.sigmoid()  # [R], softplus' = sigmoid
    return MetaGradient(loss, by_images, by_logits, by_unconstrained)
