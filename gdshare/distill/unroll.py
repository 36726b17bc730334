"""Meta-gradients: how the outer loss moves with the distilled images, labels and learning rates.

Pure functions of their arguments. Source: Li et al. 2020, Eqs. 1 to 3; Wang et al. 2018, whose
algorithm differentiates through the whole inner trajectory as ``full`` does.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from gdshare.networks import Parameters, forward


@dataclass(frozen=True)
class Unknowns:
    """What is learned, in the unconstrained form that an optimiser may move freely.

    Attributes:
        images: float [M, 1, side, side], x̃ in normalised units.
        logits: float [M, classes]; ỹ = softmax(logits). Hard labels are logits that nobody moves.
        rates: float [1] or [E * I]; α̃ = softplus(rates), positive by construction.
    """

    images: Tensor
    logits: Tensor
    rates: Tensor

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Images, logits, rates."""
        return self.images, self.logits, self.rates


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over the batch of -Σ_c target_c · log softmax(logits)_c; both float [n, classes]."""
    return -(targets * functional.log_softmax(logits, dim=1)).sum(1).mean()


def step_rates(rates: Tensor, steps: int) -> Tensor:
    """α̃ of each of ``steps`` inner steps, float [steps], from [1] (shared) or [steps]."""
    return functional.softplus(rates).expand(steps)


def inner_step(
    module: nn.Module,
    theta: Parameters,
    images: Tensor,
    targets: Tensor,
    rate: Tensor,
    create_graph: bool,
) -> Parameters:
    """Eq. 1: θ ← θ − α̃ ∇_θ ℓ(x̃, ỹ, θ).

    Args:
        module: the network's shape.
        theta: weights that require gradients, or depend on something that does.
        images: float [M, 1, side, side].
        targets: float [M, classes], rows on the simplex.
        rate: scalar α̃.
        create_graph: whether the step itself is to be differentiated later.
    """
    loss = soft_cross_entropy(forward(module, theta, images), targets)
    gradients = torch.autograd.grad(loss, list(theta.values()), create_graph=create_graph)
    return {
        name: weight - rate * gradient
        for (name, weight), gradient in zip(theta.items(), gradients, strict=True)
    }


def full(
    module: nn.Module,
    theta0: Parameters,
    unknowns: Unknowns,
    targets: Tensor,
    real: tuple[Tensor, Tensor],
    steps: int,
) -> tuple[float, tuple[Tensor, Tensor, Tensor]]:
    """Run ``steps`` inner steps from θ0 and differentiate the end's loss through all of them.

    Args:
        module: the network's shape.
        theta0: initial weights.
        unknowns: leaves; not modified.
        targets: one-hot rows [M, classes] when labels are hard, else an empty tensor: ỹ is then
            softmax(logits).
        real: a minibatch, (float [K, 1, side, side] normalised, int64 [K] classes).
        steps: E · I.

    Returns:
        the outer loss (Eq. 2), and its gradient by images, logits and rates (Eq. 3); the logits'
        gradient is zero when labels are hard.
    """
    images, logits, rates = (tensor.detach().requires_grad_() for tensor in unknowns.tensors())
    labels = targets if targets.numel() else functional.softmax(logits, dim=1)
    rate = step_rates(rates, steps)
    theta = {name: weight.detach().requires_grad_() for name, weight in theta0.items()}
    for step in range(steps):
        theta = inner_step(module, theta, images, labels, rate[step], create_graph=True)
    loss = functional.cross_entropy(forward(module, theta, real[0]), real[1])
    gradients = torch.autograd.grad(loss, (images, logits, rates), allow_unused=True)
    by_images, by_logits, by_rates = (
        torch.zeros_like(tensor) if gradient is None else gradient
        for tensor, gradient in zip((images, logits, rates), gradients, strict=True)
    )
    return loss.item(), (by_images, by_logits, by_rates)


def trajectory_end(
    module: nn.Module,
    theta0: Parameters,
    images: Tensor,
    labels: Tensor,
    rates: Tensor,
    steps: int,
) -> Parameters:
    """Train from θ0 on distilled data, without keeping a graph: what a receiver of a bundle does.

    Args:
        module: the network's shape.
        theta0: initial weights.
        images: float [M, 1, side, side].
        labels: float [M, classes] on the simplex.
        rates: float [1] or [steps], positive: α̃ itself, not its unconstrained form.
        steps: E · I.
    """
    theta = {name: weight.detach().requires_grad_() for name, weight in theta0.items()}
    for rate in rates.expand(steps):
        moved = inner_step(module, theta, images, labels, rate, create_graph=False)
        theta = {name: weight.detach().requires_grad_() for name, weight in moved.items()}
    return {name: weight.detach() for name, weight in theta.items()}
