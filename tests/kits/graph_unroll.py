"""The oracle of the hand-derived engine: unrolls as one plain autograd graph.

Every inner step is recorded and the recording differentiated, as Wang et al. 2018 did: slow, hungry
for memory, and short enough to check by eye. It shares nothing with ``gdshare.distill`` but the
types of its arguments and results.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from gdshare.distill.unroll import MetaGradient, Unknowns
from gdshare.networks import Parameters

SOFT = torch.empty(0)
"""In place of hard labels: the labels are soft."""


def full(
    module: nn.Module,
    theta0: Parameters,
    unknowns: Unknowns,
    hard_labels: Tensor,
    real: tuple[Tensor, Tensor],
    steps: int,
    sets: int = 1,
) -> MetaGradient:
    """Through the whole trajectory."""
    return window(module, theta0, unknowns, hard_labels, real, steps, steps, sets)


def window(
    module: nn.Module,
    theta0: Parameters,
    unknowns: Unknowns,
    hard_labels: Tensor,
    real: tuple[Tensor, Tensor],
    stop: int,
    length: int,
    sets: int = 1,
) -> MetaGradient:
    """Through the last ``length`` of ``stop`` steps; the weights before them count as constant."""
    before = trajectory(module, theta0, unknowns, hard_labels, stop - length, sets)
    return _differentiated(
        module, before, unknowns, hard_labels, real, range(stop - length, stop), sets
    )[0]


def greedy(
    module: nn.Module,
    theta: Parameters,
    unknowns: Unknowns,
    hard_labels: Tensor,
    real: tuple[Tensor, Tensor],
    step: int,
    sets: int = 1,
) -> tuple[MetaGradient, Parameters]:
    """Through one step alone; also the weights after it."""
    return _differentiated(module, theta, unknowns, hard_labels, real, range(step, step + 1), sets)


def trajectory(
    module: nn.Module,
    theta0: Parameters,
    unknowns: Unknowns,
    hard_labels: Tensor,
    steps: int,
    sets: int = 1,
) -> Parameters:
    """The weights after ``steps`` steps of plain gradient descent."""
    theta = _leaves(theta0)
    for step in range(steps):
        theta = _leaves(_step(module, theta, unknowns, hard_labels, step, sets, False))
    return {name: weight.detach() for name, weight in theta.items()}


def outer_loss(module: nn.Module, theta: Parameters, real: tuple[Tensor, Tensor]) -> Tensor:
    """Eq. 2: cross entropy of real patches, nats."""
    return functional.cross_entropy(functional_call(module, theta, (real[0],)), real[1])


def _differentiated(
    module: nn.Module,
    theta0: Parameters,
    unknowns: Unknowns,
    hard_labels: Tensor,
    real: tuple[Tensor, Tensor],
    steps: range,
    sets: int,
) -> tuple[MetaGradient, Parameters]:
    leaves = Unknowns(*(tensor.detach().requires_grad_() for tensor in unknowns.tensors()))
    theta = _leaves(theta0)
    for step in steps:
        theta = _step(module, theta, leaves, hard_labels, step, sets, True)
    loss = outer_loss(module, theta, real)
    by_images, by_logits, by_rates = torch.autograd.grad(
        loss, leaves.tensors(), allow_unused=True, materialize_grads=True
    )
    end = {name: weight.detach() for name, weight in theta.items()}
    return MetaGradient(loss.item(), by_images, by_logits, by_rates), end


def _step(
    module: nn.Module,
    theta: Parameters,
    unknowns: Unknowns,
    hard_labels: Tensor,
    step: int,
    sets: int,
    create_graph: bool,
) -> Parameters:
    """Eq. 1: θ ← θ - α̃ ∇_θ ℓ(x̃, ỹ, θ), on the step's own set of images."""
    which = step % sets
    images = unknowns.images.chunk(sets)[which]
    labels = hard_labels if hard_labels.numel() else functional.softmax(unknowns.logits, dim=1)
    rates = functional.softplus(unknowns.rates)
    logits = functional_call(module, theta, (images,))
    loss = -(labels.chunk(sets)[which] * functional.log_softmax(logits, dim=1)).sum(1).mean()
    gradients = torch.autograd.grad(loss, list(theta.values()), create_graph=create_graph)
    rate = rates[step] if len(rates) > 1 else rates[0]
    return {
        name: weight - rate * gradient
        for (name, weight), gradient in zip(theta.items(), gradients, strict=True)
    }


def _leaves(theta: Parameters) -> Parameters:
    return {name: weight.detach().requires_grad_() for name, weight in theta.items()}
