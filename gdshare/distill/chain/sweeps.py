"""Whole-network sweeps: a gradient step, its product with a direction, and the outer gradient.

The inner loss is soft-label cross entropy, ℓ = -(1/m) Σ ỹ · log softmax(z), with z the logits.

Shapes in the comments::

    m, s  distilled images of one inner step; side of a patch in px
    K     real patches of a minibatch; Q ≤ MICROBATCH of them go through together
    L     classes
"""

from dataclasses import dataclass, is_dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gdshare.distill.chain.layer import to_nchw, to_nhwc
from gdshare.distill.chain.network import Chain
from gdshare.distill.chain.weights import Weights

MICROBATCH = 32
"""Real patches that go through the network together in the outer gradient: bounds its memory."""


@dataclass
class Step:
    """What an inner step leaves behind: enough to undo it, and to differentiate it.

    Attributes:
        tape: of all layers.
        log_probabilities: float [m, L], log softmax of the logits.
        labels: float [m, L], ỹ.
        rate: α̃ of this step.
    """

    tape: list[Any]
    log_probabilities: Tensor
    labels: Tensor
    rate: float


@dataclass(frozen=True)
class SlopeGradient:
    """The inner loss's slope along a direction v, D = ∇_θ ℓ · v, and its derivatives.

    Attributes:
        slope: D, a scalar tensor.
        by_images: float [m, 1, s, s].
        by_labels: float [m, L].
    """

    slope: Tensor
    by_images: Tensor
    by_labels: Tensor


def add_gradient(
    chain: Chain,
    theta: Weights,
    images: Tensor,
    labels: Tensor,
    rate: float,
    into: Weights,
    scale: float,
) -> Step:
    """Add ``scale`` times the inner loss's gradient at θ, ∇_θ ℓ(x̃, ỹ, θ), to ``into``.

    With ``into`` θ itself and ``scale`` -α̃, this is the inner step of Eq. 1.

    Args:
        chain: the network.
        theta: weights; modified only where they are ``into``.
        images: float [m, 1, s, s].
        labels: float [m, L], rows on the simplex.
        rate: α̃, for the record.
        into: weights to add to.
        scale: 0 leaves ``into`` alone.
    """
    z, tape = chain.layers.forward(to_nhwc(images), theta)  # [m, L]
    log_p = functional.log_softmax(z, dim=1)  # [m, L]
    delta = (log_p.exp() * labels.sum(1, keepdim=True) - labels) / len(labels)  # [m, L], ∂ℓ/∂z
    chain.layers.backward(delta, tape, theta, into, scale, False)
    return Step(tape, log_p, labels, rate)


def pull_back(
    chain: Chain, theta: Weights, step: Step, v: Weights, rewind: bool, last: bool
) -> SlopeGradient:
    """Pull a later loss's derivative v back through one step: v ← v - α̃ ∇²ℓ v, in place.

    Args:
        chain: the network.
        theta: the weights before the step; with ``rewind``, those after it, which are moved back.
        step: as ``add_gradient`` returned it, at the weights before.
        v: derivative of a later loss by the weights after the step; becomes the one by the weights
            before, except with ``last``.
        rewind: see ``theta``.
        last: no earlier step follows, so v is left unfinished.
    """
    rewind_by = step.rate if rewind else 0.0
    z_dot, tape_dot = chain.layers.tangent(None, step.tape, theta, v, rewind_by)  # [m, L]
    p, m = step.log_probabilities.exp(), len(z_dot)  # [m, L]
    centred = z_dot - (p * z_dot).sum(1, keepdim=True)  # [m, L]
    delta_dot = p * centred * (step.labels.sum(1, keepdim=True) / m)  # [m, L]
    by_images = chain.layers.backward_tangent(  # [m, s, s, 1]
        delta_dot, step.tape, tape_dot, theta, v, 0.0 if last else -step.rate
    )
    slope = -(step.labels * centred).sum() / m  # scalar
    return SlopeGradient(slope, to_nchw(by_images), -centred / m)


def outer_gradient(
    chain: Chain, theta: Weights, x: Tensor, classes: Tensor
) -> tuple[float, Weights]:
    """The outer loss of Eq. 2, L = ℓ(x, y, θ), and its derivative by the weights.

    Args:
        chain: the network.
        theta: weights, not modified.
        x: float [K, 1, s, s], normalised real patches.
        classes: int64 [K].

    Returns:
        mean cross entropy in nats, and ∇_θ L.
    """
    gradient = theta.zeros()
    loss = x.new_zeros(())
    for part, target in zip(  # [Q, 1, s, s], [Q]
        torch.split(x, MICROBATCH), torch.split(classes, MICROBATCH), strict=True
    ):
        z, tape = chain.layers.forward(to_nhwc(part), theta)  # [Q, L]
        log_p = functional.log_softmax(z, dim=1)  # [Q, L]
        loss += functional.nll_loss(log_p, target, reduction="sum")
        delta = (log_p.exp() - functional.one_hot(target, log_p.shape[1])) / len(x)  # [Q, L]
        chain.layers.backward(delta, tape, theta, gradient, 1.0, False)
    return loss.item() / len(x), gradient


def tape_bytes(step: Step) -> int:
    """Bytes of memory that a step's tape keeps alive; shared memory counts once."""
    storages: dict[int, int] = {}

    def count(part: Any) -> None:
        if isinstance(part, Tensor):
            storage = part.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        elif is_dataclass(part):
            count(list(vars(part).values()))
        elif isinstance(part, list | tuple):
            for item in part:
                count(item)

    count(step.tape)
    return sum(storages.values())
