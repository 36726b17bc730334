"""Head distillation: the body stays at an announced θ0, and the images train the last layer alone.

The inner steps of Eq. 1 (Li et al. 2020) move only the last layer, from zeros. So a hospital
computes the features of its real patches once, and an outer step costs little: it can look at
thousands of patches where an unroll through the whole network looks at a few.

Features are conditioned by statistics of images that anybody can draw, not of patients: noise with
the power spectrum of natural images. Shapes in the comments::

    M, m  distilled images in all; of one step, m = M / sets
    s     side of a patch in px
    F     features
    L     classes
    R     learning rates: 1, or one for each of the E·I steps
    K     real patches of a minibatch
"""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import sqrt
from typing import Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from gdshare.distill.unroll import InnerData, MetaGradient, Unknowns, constrain
from gdshare.networks import Parameters, build, digest, forward
from gdshare.seeding import torch_generator

FEATURE_BATCH = 64
"""Patches whose features are computed together: more do not fit the processor's cache."""
PUBLIC_IMAGES = 1024
"""Drawn to condition the features."""
SMALLEST_DEVIATION = 0.05
"""Of a feature over the public images, as a share of the mean deviation of all features."""


@dataclass(frozen=True)
class Body:
    """A network without its last layer, at θ0; it never changes.

    Attributes:
        module: the network's shape, its last layer left out.
        last: name of the last layer, such as ``fc``.
        theta0: every weight of the network.
        centre, scale: float32 [F]; conditioned features are (φ(x) - centre) · scale.
    """

    module: nn.Module
    last: str
    theta0: Parameters
    centre: Tensor
    scale: Tensor

    def features(self, x: Tensor) -> Tensor:
        """Conditioned features of patches, differentiable by them.

        Args:
            x: float32 [n, 1, s, s], normalised.

        Returns:
            float32 [n, F]. Over public images each feature has mean 0 and all of them together have
            a sum of squares of about 1, so that learning rates of about 1 suit every network.
        """
        return (forward(self.module, self._weights, x) - self.centre) * self.scale

    @torch.no_grad()
    def features_of(self, x: Tensor) -> Tensor:
        """The same for many patches: float32 [n, F], without a graph."""
        return torch.cat([self.features(part) for part in torch.split(x, FEATURE_BATCH)])

    @property
    def _weights(self) -> Parameters:
        return {
            name: weight
            for name, weight in self.theta0.items()
            if not name.startswith(f"{self.last}.")
        }


@dataclass(frozen=True)
class Head:
    """A last layer on a body's conditioned features.

    Attributes:
        body: frozen.
        weight: float32 [L, F].
        bias: float32 [L].
    """

    body: Body
    weight: Tensor
    bias: Tensor

    @classmethod
    def zeros(cls, body: Body) -> Self:
        """The head that every trajectory starts from."""
        weight = torch.zeros_like(body.theta0[f"{body.last}.weight"])  # [L, F]
        return cls(body, weight, weight.new_zeros(len(weight)))

    @classmethod
    def of(cls, body: Body, network: Parameters) -> Self:
        """The head of a whole network: what ``network`` undoes."""
        weight = network[f"{body.last}.weight"]  # [L, F]
        bias = network[f"{body.last}.bias"] + weight @ body.centre
        return cls(body, weight / body.scale, bias)

    def logits(self, features: Tensor) -> Tensor:
        """Conditioned features float32 [n, F] -> [n, L]."""
        return functional.linear(features, self.weight, self.bias)

    def network(self) -> Parameters:
        """The whole network's weights; its last layer reads features as they are."""
        last, weight = self.body.last, self.weight * self.body.scale  # [L, F]
        bias = self.bias - weight @ self.body.centre  # [L]
        return self.body.theta0 | {f"{last}.weight": weight, f"{last}.bias": bias}


def body_of(network: str, side: int, theta0: Parameters) -> Body:
    """The body of a network at θ0.

    Args:
        network: name in ``networks``.
        side: of the patches, px.
        theta0: all weights of the network, on the device to compute on.

    Raises:
        UsageError: the network cannot take such patches.
    """
    module = build(network, side)
    last, layer = [(n, part) for n, part in module.named_modules() if isinstance(part, nn.Linear)][
        -1
    ]
    module.set_submodule(last, nn.Identity())
    device = theta0[f"{last}.weight"].device
    nothing = torch.zeros(layer.in_features, device=device)
    unscaled = Body(module, last, theta0, centre=nothing, scale=nothing + 1)
    centre, scale = _conditions(_Unscaled(network, side, str(device), digest(theta0), unscaled))
    return replace(unscaled, centre=centre, scale=scale)


@dataclass(frozen=True)
class _Unscaled:
    """A body before its features are conditioned; the other fields tell it from others."""

    network: str
    side: int
    device: str
    theta0_sha256: str
    body: Body = field(compare=False)


@lru_cache(maxsize=2)
@torch.inference_mode(False)  # kept, and used for derivatives whoever asked first
def _conditions(unscaled: _Unscaled) -> tuple[Tensor, Tensor]:
    """Centre and scale; a receiver of many bundles asks for the same ones again and again."""
    centre = unscaled.body.centre
    public = unscaled.body.features_of(public_images(unscaled.side).to(centre.device))  # [n, F]
    deviation = public.std(0)  # [F]
    deviation = deviation.clamp_min(SMALLEST_DEVIATION * float(deviation.mean()))
    return public.mean(0), 1.0 / (deviation * sqrt(len(centre)))


def public_images(side: int) -> Tensor:
    """Noise whose power falls with frequency as in natural images (Field 1987), the same for all.

    Returns:
        float32 [PUBLIC_IMAGES, 1, side, side], in the units of normalised patches.
    """
    generator = torch_generator(0, "public-images")
    across = torch.fft.rfftfreq(side)
    frequency = torch.hypot(torch.fft.fftfreq(side)[:, None], across[None, :])  # [s, s/2 + 1]
    frequency[0, 0] = 1.0 / side
    white = torch.randn(PUBLIC_IMAGES, side, side, generator=generator)
    exponent, level, contrast = torch.rand(3, PUBLIC_IMAGES, 1, 1, generator=generator)
    noise = torch.fft.irfft2(
        torch.fft.rfft2(white) / frequency ** (0.8 + 1.2 * exponent), s=(side, side)
    )
    noise = (noise - noise.mean((1, 2), keepdim=True)) / noise.std((1, 2), keepdim=True)
    pixels = (0.2 + 0.6 * level + noise * (0.05 + 0.2 * contrast)).clamp(0, 1)  # [n, s, s]
    images: Tensor = ((pixels - 0.5) / 0.25).unsqueeze(1)
    return images


@dataclass(frozen=True)
class OuterLoss:
    """What the trained head is judged by.

    Attributes:
        name: ``cross-entropy`` (Eq. 2), or ``square``: of logits minus one-hot labels whose mean
            over the classes is taken away. Heads of the second keep to one scale, and so can be
            averaged over hospitals.
        penalty: of the weights' sum of squares.
    """

    name: Literal["cross-entropy", "square"] = "cross-entropy"
    penalty: float = 0.0

    def of(self, head: Head, features: Tensor, classes: Tensor) -> Tensor:
        """Mean over patches: conditioned features float32 [K, F], int64 [K] -> []."""
        logits = head.logits(features)  # [K, L]
        if self.name == "cross-entropy":
            loss = functional.cross_entropy(logits, classes)
        else:
            labels = logits.shape[1]
            wanted = functional.one_hot(classes, labels).to(logits) - 1.0 / labels  # [K, L]
            loss = (logits - wanted).square().sum(1).mean()
        return loss + self.penalty * head.weight.square().sum()


CROSS_ENTROPY = OuterLoss()


def window(
    head: Head,
    unknowns: Unknowns,
    hard_labels: Tensor,
    real: tuple[Tensor, Tensor],
    stop: int,
    length: int,
    sets: int = 1,
    outer: OuterLoss = CROSS_ENTROPY,
) -> MetaGradient:
    """Take ``stop`` inner steps and differentiate through the last ``length`` of them.

    Args:
        head: before the first step, not modified.
        unknowns: not modified.
        hard_labels: see ``unroll.constrain``.
        real: a minibatch, (conditioned features float32 [K, F], int64 [K] classes).
        stop: steps taken, at least 1.
        length: steps differentiated through, from 1 to ``stop``.
        sets: that the images are divided into.
        outer: what the head is judged by.
    """
    variables = Unknowns(*(tensor.detach().requires_grad_() for tensor in unknowns.tensors()))
    data = constrain(variables, hard_labels, sets)
    features = head.body.features(data.images)  # [M, F]
    with torch.no_grad():
        head = advance(head, features, data, 0, stop - length)
    head = advance(head, features, data, stop - length, stop)
    return _differentiate(head, real, variables, outer)


def greedy(
    head: Head,
    unknowns: Unknowns,
    hard_labels: Tensor,
    real: tuple[Tensor, Tensor],
    step: int,
    sets: int = 1,
    outer: OuterLoss = CROSS_ENTROPY,
) -> tuple[MetaGradient, Head]:
    """Take one inner step and differentiate the loss after it through this step alone.

    Args:
        head, unknowns, hard_labels, real, sets, outer: as for ``window``.
        step: its number in the trajectory, from 0: decides α̃ and the set of images.

    Returns:
        the meta-gradient, and the head after the step.
    """
    variables = Unknowns(*(tensor.detach().requires_grad_() for tensor in unknowns.tensors()))
    data = constrain(variables, hard_labels, sets)
    after = advance(head, head.body.features(data.images), data, step, step + 1)
    gradient = _differentiate(after, real, variables, outer)
    return gradient, replace(after, weight=after.weight.detach(), bias=after.bias.detach())


@torch.no_grad()
def train_head(head: Head, data: InnerData, steps: int) -> Head:
    """Train the last layer on distilled data: what a receiver of a bundle does.

    Args:
        head: to start from.
        data: images, labels and rates.
        steps: E · I.
    """
    return advance(head, head.body.features(data.images), data, 0, steps)


def advance(head: Head, features: Tensor, data: InnerData, start: int, stop: int) -> Head:
    """Take inner steps, each W ← W - α̃ ∇ℓ(x̃, ỹ, W) (Eq. 1), by the cross entropy's derivative.

    Args:
        head: before the first of them.
        features: of the distilled images, conditioned, float32 [M, F].
        data: labels and rates.
        start, stop: numbers of the first step, and of the one after the last.
    """
    weight, bias = head.weight, head.bias
    for step in range(start, stop):
        rows, _, labels = data.at(step)  # [m, L]
        inputs = features[rows]  # [m, F]
        predicted = functional.softmax(functional.linear(inputs, weight, bias), dim=1)  # [m, L]
        slope = (predicted - labels) / len(inputs)  # [m, L]
        rate = data.rates[step if len(data.rates) > 1 else 0]
        weight = weight - rate * slope.T @ inputs
        bias = bias - rate * slope.sum(0)
    return replace(head, weight=weight, bias=bias)


def _differentiate(
    head: Head, real: tuple[Tensor, Tensor], variables: Unknowns, outer: OuterLoss
) -> MetaGradient:
    """The outer loss and its derivatives by the unknowns."""
    loss = outer.of(head, *real)
    gradients = torch.autograd.grad(loss, variables.tensors(), allow_unused=True)
    images, logits, rates = (
        torch.zeros_like(variable) if gradient is None else gradient
        for gradient, variable in zip(gradients, variables.tensors(), strict=True)
    )
    return MetaGradient(float(loss.detach()), images, logits, rates)
