"""Normalisation over groups of channels."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gdshare.distill.chain.layer import given
from gdshare.distill.chain.weights import Weights


@dataclass
class NormTape:
    """What a norm remembers of a step; pixels are flattened, P of them an image.

    Attributes:
        shape: of the input, [n, height, width, channels].
        unit: x̂, the normalised input, [n, P, channels].
        rstd: r, one over the deviation, the same within a group, [n, 1, channels].
        delta: δ, the loss's derivative by the output, [n, P, channels]; by ``backward``.
        dx: the derivative by the input, like x; by ``backward``.
        dshift, dscale: sums over the pixels of δ and of δ x̂, [n, 1, channels]; by ``backward``.
    """

    shape: torch.Size
    unit: Tensor
    rstd: Tensor
    delta: Tensor
    dx: Tensor
    dshift: Tensor
    dscale: Tensor


@dataclass(frozen=True)
class Norm:
    """GroupNorm (Wu and He 2018): groups of channels within one image, then scale and shift.

    With mean μ, one over the deviation r, x̂ = r (x - μ), u = γ δ and ⟨·⟩ the mean over a group:
    ∂x = r (u - ⟨u⟩ - x̂ ⟨u x̂⟩). Along a direction, with s = ⟨ẋ x̂⟩: x̂̇ = r (ẋ - ⟨ẋ⟩ - x̂ s) and
    ṙ = -r² s. Every mean is taken of sums over pixels, channel by channel, and so is γ's and β's
    gradient: a sum along the slow dimension is what memory in this order gives fastest.

    Attributes:
        name: of its parameters, without ``.weight`` and ``.bias``.
        groups: of channels.
        eps: added to the variance.
    """

    name: str
    groups: int
    eps: float

    def forward(self, x: Tensor, theta: Weights) -> tuple[Tensor, NormTape]:
        scale, shift = self._weights(theta)
        flat = _flat(x)
        pixels = flat.shape[1]
        centred = flat - self._mean(_sums(flat), pixels)
        variance = self._mean(_sums(centred * centred), pixels)
        rstd = torch.rsqrt(variance + self.eps)
        unit = centred.mul_(rstd)
        none = x.new_empty(0)
        y = torch.addcmul(shift, unit, scale)
        return y.view(x.shape), NormTape(x.shape, unit, rstd, none, none, none, none)

    def backward(
        self,
        delta: Tensor,
        tape: NormTape,
        theta: Weights,
        into: Weights,
        scale: float,
        wanted: bool,
    ) -> Tensor:
        gamma, _ = self._weights(theta)
        tape.delta = _flat(delta)
        pixels = tape.delta.shape[1]
        tape.dshift, tape.dscale = _sums(tape.delta), _sums(tape.delta * tape.unit)
        shared, lean = (self._mean(gamma * part, pixels) for part in (tape.dshift, tape.dscale))
        dx = (tape.delta * (gamma * tape.rstd)).addcmul_(tape.unit, tape.rstd * lean, value=-1)
        tape.dx = dx.sub_(tape.rstd * shared)
        if scale:
            self._add(into, scale, tape.dscale, tape.dshift)
        return tape.dx.view(tape.shape)

    def tangent(
        self, dx: Tensor | None, tape: NormTape, theta: Weights, v: Weights, rewind: float
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if rewind:
            self._add(theta, rewind, tape.dscale, tape.dshift)
        moved, pixels = _flat(given(dx)), tape.unit.shape[1]
        swing = self._mean(_sums(moved * tape.unit), pixels)
        dunit = moved - self._mean(_sums(moved), pixels)
        dunit.addcmul_(tape.unit, swing, value=-1).mul_(tape.rstd)
        (scale, _), (vscale, vshift) = self._weights(theta), self._weights(v)
        dy = torch.addcmul(vshift, dunit, scale).addcmul_(tape.unit, vscale)
        return dy.view(tape.shape), (dunit, swing)

    def backward_tangent(
        self,
        ddelta: Tensor,
        tape: NormTape,
        dual: tuple[Tensor, Tensor],
        theta: Weights,
        v: Weights,
        scale: float,
    ) -> Tensor:
        dunit, swing = dual
        moved, pixels, r = _flat(ddelta), tape.unit.shape[1], tape.rstd
        gamma, vgamma = self._weights(theta)[0], self._weights(v)[0]
        dshift = _sums(moved)
        dscale = _sums((moved * tape.unit).addcmul_(tape.delta, dunit))
        lean = self._mean(gamma * tape.dscale, pixels)
        dshared = self._mean(gamma * dshift + vgamma * tape.dshift, pixels)
        dlean = self._mean(gamma * dscale + vgamma * tape.dscale, pixels)
        out = (moved * (gamma * r)).addcmul_(tape.delta, vgamma * r)
        out.addcmul_(dunit, r * lean, value=-1).addcmul_(tape.unit, r * dlean, value=-1)
        out.addcmul_(tape.dx, r * swing, value=-1).sub_(r * dshared)
        if scale:
            self._add(v, scale, dscale, dshift)
        return out.view(tape.shape)

    def _weights(self, weights: Weights) -> tuple[Tensor, Tensor]:
        return weights.tensors[f"{self.name}.weight"], weights.tensors[f"{self.name}.bias"]

    def _add(self, into: Weights, scale: float, dscale: Tensor, dshift: Tensor) -> None:
        weight, bias = self._weights(into)
        weight.add_(dscale.sum((0, 1)), alpha=scale)
        bias.add_(dshift.sum((0, 1)), alpha=scale)

    def _mean(self, sums: Tensor, pixels: int) -> Tensor:
        """From sums over pixels to means over groups, [n, 1, channels] both."""
        n, _, channels = sums.shape
        grouped = sums.view(n, 1, self.groups, channels // self.groups)
        mean = grouped.mean(3, keepdim=True).div_(pixels)
        return mean.expand_as(grouped).reshape(sums.shape)


def _flat(x: Tensor) -> Tensor:
    n, height, width, channels = x.shape
    return x.reshape(n, height * width, channels)


def _sums(x: Tensor) -> Tensor:
    return x.sum(1, keepdim=True)
