"""Normalisation over groups of channels. The shapes' letters are explained in ``layer``."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gdshare.distill.chain.layer import require_tangent
from gdshare.distill.chain.weights import Weights


@dataclass
class NormTape:
    """What a norm remembers of a step, in the letters of ``Norm``.

    Attributes:
        shape: of x, (B, H, W, C).
        unit: x̂ [B, P, C], the normalised input.
        rstd: r [B, 1, C], one over the deviation, the same within a group.
        delta: δ [B, P, C], the loss's derivative by the output; after ``backward``.
        dx: [B, P, C], the derivative by the input; after ``backward``.
        dshift, dscale: [B, 1, C], sums over the pixels of δ and of δ x̂; after ``backward``.
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
    """GroupNorm (Wu and He 2018): groups of channels within one image, then scale γ and shift β.

    With the mean μ, one over the deviation r, x̂ = r (x - μ), u = γ δ, and ⟨·⟩ the mean over a
    group::

        ∂x = r (u - ⟨u⟩ - x̂ ⟨u x̂⟩)

    and along a direction, with s = ⟨ẋ x̂⟩::

        x̂̇ = r (ẋ - ⟨ẋ⟩ - x̂ s)        ṙ = -r² s

    All means are taken of sums over pixels, channel by channel, and so are the gradients of γ and
    β: a sum along the slow dimension is what channels-last memory gives fastest.

    Attributes:
        name: of its parameters, without ``.weight`` and ``.bias``.
        groups: G, groups of channels.
        eps: added to the variance.
    """

    name: str
    groups: int
    eps: float

    def forward(self, x: Tensor, theta: Weights) -> tuple[Tensor, NormTape]:
        gamma, beta = self._weights(theta)  # [C], [C]
        flat = _flat(x)  # [B, P, C]
        pixels = flat.shape[1]
        centred = flat - self._mean(_sums(flat), pixels)  # [B, P, C]
        variance = self._mean(_sums(centred * centred), pixels)  # [B, 1, C]
        rstd = torch.rsqrt(variance + self.eps)  # [B, 1, C]
        unit = centred.mul_(rstd)  # [B, P, C]
        y = torch.addcmul(beta, unit, gamma)  # [B, P, C]
        empty = x.new_empty(0)
        return y.view(x.shape), NormTape(x.shape, unit, rstd, empty, empty, empty, empty)

    def backward(
        self,
        delta: Tensor,
        tape: NormTape,
        theta: Weights,
        into: Weights,
        scale: float,
        needs_dx: bool,
    ) -> Tensor:
        gamma, _ = self._weights(theta)  # [C]
        tape.delta = _flat(delta)  # [B, P, C]
        pixels = tape.delta.shape[1]
        tape.dshift, tape.dscale = _sums(tape.delta), _sums(tape.delta * tape.unit)  # [B, 1, C]
        mean_u = self._mean(gamma * tape.dshift, pixels)  # [B, 1, C], ⟨u⟩
        mean_ux = self._mean(gamma * tape.dscale, pixels)  # [B, 1, C], ⟨u x̂⟩
        dx = tape.delta * (gamma * tape.rstd)  # [B, P, C]
        dx.addcmul_(tape.unit, tape.rstd * mean_ux, value=-1)
        tape.dx = dx.sub_(tape.rstd * mean_u)
        if scale:
            self._add_gradient(into, scale, tape.dscale, tape.dshift)
        return tape.dx.view(tape.shape)  # [B, H, W, C]

    def tangent(
        self, x_dot: Tensor | None, tape: NormTape, theta: Weights, v: Weights, rewind: float
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if rewind:
            self._add_gradient(theta, rewind, tape.dscale, tape.dshift)
        flat_dot = _flat(require_tangent(x_dot))  # [B, P, C]
        pixels = tape.unit.shape[1]
        s = self._mean(_sums(flat_dot * tape.unit), pixels)  # [B, 1, C]
        unit_dot = flat_dot - self._mean(_sums(flat_dot), pixels)  # [B, P, C]
        unit_dot.addcmul_(tape.unit, s, value=-1).mul_(tape.rstd)
        (gamma, _), (v_gamma, v_beta) = self._weights(theta), self._weights(v)  # [C]
        y_dot = torch.addcmul(v_beta, unit_dot, gamma).addcmul_(tape.unit, v_gamma)  # [B, P, C]
        return y_dot.view(tape.shape), (unit_dot, s)  # [B, H, W, C]

    def backward_tangent(
        self,
        delta_dot: Tensor,
        tape: NormTape,
        tape_dot: tuple[Tensor, Tensor],
        theta: Weights,
        v: Weights,
        scale: float,
    ) -> Tensor:
        unit_dot, s = tape_dot  # [B, P, C], [B, 1, C]
        flat_dot, pixels, r = _flat(delta_dot), tape.unit.shape[1], tape.rstd
        gamma, v_gamma = self._weights(theta)[0], self._weights(v)[0]  # [C], [C]
        dshift_dot = _sums(flat_dot)  # [B, 1, C]
        dscale_dot = _sums((flat_dot * tape.unit).addcmul_(tape.delta, unit_dot))  # [B, 1, C]
        # ⟨u x̂⟩ and the derivatives of ⟨u⟩ and ⟨u x̂⟩, where u̇ = γ δ̇ + γ̇ δ
        mean_ux = self._mean(gamma * tape.dscale, pixels)  # [B, 1, C]
        mean_u_dot = self._mean(gamma * dshift_dot + v_gamma * tape.dshift, pixels)  # [B, 1, C]
        mean_ux_dot = self._mean(gamma * dscale_dot + v_gamma * tape.dscale, pixels)  # [B, 1, C]
        # r (u̇ - ⟨u⟩˙ - x̂̇ ⟨u x̂⟩ - x̂ ⟨u x̂⟩˙) + (ṙ / r) ∂x, and ṙ / r = -r s
        dx_dot = (flat_dot * (gamma * r)).addcmul_(tape.delta, v_gamma * r)  # [B, P, C]
        dx_dot.addcmul_(unit_dot, r * mean_ux, value=-1)
        dx_dot.addcmul_(tape.unit, r * mean_ux_dot, value=-1)
        dx_dot.addcmul_(tape.dx, r * s, value=-1).sub_(r * mean_u_dot)
        if scale:
            self._add_gradient(v, scale, dscale_dot, dshift_dot)
        return dx_dot.view(tape.shape)  # [B, H, W, C]

    def _weights(self, weights: Weights) -> tuple[Tensor, Tensor]:
        return weights.tensors[f"{self.name}.weight"], weights.tensors[f"{self.name}.bias"]

    def _add_gradient(self, into: Weights, scale: float, dscale: Tensor, dshift: Tensor) -> None:
        """Add sums over images to γ and β: [B, 1, C], [B, 1, C] -> [C], [C]."""
        weight, bias = self._weights(into)
        weight.add_(dscale.sum((0, 1)), alpha=scale)
        bias.add_(dshift.sum((0, 1)), alpha=scale)

    def _mean(self, sums: Tensor, pixels: int) -> Tensor:
        """From sums over pixels to means over groups, [B, 1, C] both."""
        n, _, channels = sums.shape
        grouped = sums.view(n, 1, self.groups, channels // self.groups)  # [B, 1, G, C/G]
        mean = grouped.mean(3, keepdim=True).div_(pixels)  # [B, 1, G, 1]
        return mean.expand_as(grouped).reshape(sums.shape)  # [B, 1, C]


def _flat(x: Tensor) -> Tensor:
    """[B, H, W, C] -> [B, P, C]."""
    n, height, width, channels = x.shape
    return x.reshape(n, height * width, channels)


def _sums(x: Tensor) -> Tensor:
    """Over the pixels: [B, P, C] -> [B, 1, C]."""
    return x.sum(1, keepdim=True)
