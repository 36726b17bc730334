"""Whole-network sweeps: a gradient step, its product with a direction, and the outer gradient.

The inner loss is soft-label cross entropy, ℓ = -(1/n) Σ ỹ · log softmax(z), with z the logits.
"""

from dataclasses import dataclass, is_dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gdshare.distill.chain.network import Chain
from gdshare.distill.chain.weights import Weights

MICROBATCH = 32
"""Real patches that go through the network together in the outer gradient: bounds its memory."""


@dataclass
class Step:
    """What an inner step leaves behind: enough to undo it, and to differentiate it.

    Attributes:
        tape: of all layers.
        log_probabilities: float [n, classes], log softmax of the logits.
        labels: float [n, classes], ỹ.
        rate: α̃ of this step.
    """

    tape: list[Any]
    log_probabilities: Tensor
    labels: Tensor
    rate: float


@dataclass(frozen=True)
class Product:
    """Derivatives of D = ∇_θ ℓ · v, the inner loss's slope along a direction v.

    Attributes:
        slope: D itself, a scalar tensor.
        by_images: float [n, 1, side, side].
        by_labels: float [n, classes].
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
    """Take the inner loss's gradient at θ and add ``scale`` times it to ``into``.

    Args:
        chain: the network.
        theta: weights; moved only if they are ``into``: with ``scale`` -α̃ that is a gradient step.
        images: float [n, 1, side, side].
        labels: float [n, classes], rows on the simplex.
        rate: α̃, for the record.
        into: what to add to.
        scale: 0 leaves ``into`` alone.
    """
    logits, tape = chain.layers.forward(images.permute(0, 2, 3, 1), theta)
    log_p = functional.log_softmax(logits, dim=1)
    delta = (log_p.exp() * labels.sum(1, keepdim=True) - labels) / len(labels)
    chain.layers.backward(delta, tape, theta, into, scale, False)
    return Step(tape, log_p, labels, rate)


def pull_back(
    chain: Chain, theta: Weights, step: Step, v: Weights, rewind: bool, last: bool
) -> Product:
    """Pull a later loss's derivative v back through one step: v ← v - α̃ ∇²ℓ v, in place.

    Args:
        chain: the network.
        theta: the weights before the step, or with ``rewind`` after it: then they are moved back.
        step: as ``add_gradient`` returned it, at the weights before.
        v: the derivative of a later loss by the weights after the step; becomes that by those
            before, unless ``last``, where nobody asks for it.
        rewind: see ``theta``.
        last: whether this is the last step to be pulled through.
    """
    slope, dual = chain.layers.tangent(None, step.tape, theta, v, step.rate if rewind else 0.0)
    p, n = step.log_probabilities.exp(), len(slope)
    centred = slope - (p * slope).sum(1, keepdim=True)
    ddelta = p * centred * (step.labels.sum(1, keepdim=True) / n)
    by_images = chain.layers.backward_tangent(
        ddelta, step.tape, dual, theta, v, 0.0 if last else -step.rate
    )
    return Product(-(step.labels * centred).sum() / n, by_images.permute(0, 3, 1, 2), -centred / n)


def outer_gradient(
    chain: Chain, theta: Weights, x: Tensor, classes: Tensor
) -> tuple[float, Weights]:
    """Mean cross entropy of real patches and its derivative by the weights.

    Args:
        chain: the network.
        theta: weights, not moved.
        x: float [K, 1, side, side], normalised.
        classes: int64 [K].
    """
    gradient = theta.zeros()
    loss = x.new_zeros(())
    for part, target in zip(
        torch.split(x, MICROBATCH), torch.split(classes, MICROBATCH), strict=True
    ):
        logits, tape = chain.layers.forward(part.permute(0, 2, 3, 1), theta)
        log_p = functional.log_softmax(logits, dim=1)
        loss += functional.nll_loss(log_p, target, reduction="sum")
        delta = (log_p.exp() - functional.one_hot(target, log_p.shape[1])) / len(x)
        chain.layers.backward(delta, tape, theta, gradient, 1.0, False)
    return loss.item() / len(x), gradient


def tape_bytes(step: Step) -> int:
    """Bytes of memory that a step's tape keeps alive, each shared tensor counted once."""
    storages: dict[int, int] = {}

    def count(part: Any) -> None:
        if isinstance(part, Tensor):
            storage = part.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        elif is_dataclass(part):
            for one in vars(part).values():
                count(one)
        elif isinstance(part, list | tuple):
            for one in part:
                count(one)

    count(step.tape)
    return sum(storages.values())
