"""The last layer. The shapes' letters are explained in ``layer``."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gdshare.distill.chain.layer import Tape, new_tape, require_tangent
from gdshare.distill.chain.weights import Weights


@dataclass(frozen=True)
class Linear:
    """Features flattened in the order (height, width, channels) -> logits: y = x Wᵀ + b.

    Attributes:
        name: of its parameters, without ``.weight`` and ``.bias``.
    """

    name: str

    def forward(self, x: Tensor, theta: Weights) -> tuple[Tensor, Tape]:
        weight, bias = self._weights(theta)  # [L, F], [L]
        return torch.addmm(bias, x.reshape(len(x), -1), weight.t()), new_tape(x)  # [B, L]

    def backward(
        self, delta: Tensor, tape: Tape, theta: Weights, into: Weights, scale: float, needs_dx: bool
    ) -> Tensor:
        tape.delta = delta  # [B, L]
        dx = torch.mm(delta, self._weights(theta)[0]).view(tape.x.shape)  # [B, H, W, C]
        if scale:
            self._add_gradient(into, scale, delta, tape.x)
        return dx

    def tangent(
        self, x_dot: Tensor | None, tape: Tape, theta: Weights, v: Weights, rewind: float
    ) -> tuple[Tensor, Tensor]:
        if rewind:
            self._add_gradient(theta, rewind, tape.delta, tape.x)
        (weight, _), (v_weight, v_bias) = self._weights(theta), self._weights(v)
        x_dot = require_tangent(x_dot)  # [B, H, W, C]
        flat = tape.x.reshape(len(x_dot), -1)  # [B, F]
        y_dot = torch.addmm(v_bias, flat, v_weight.t())  # [B, L]
        return y_dot.addmm_(x_dot.reshape(flat.shape), weight.t()), x_dot  # [B, L]

    def backward_tangent(
        self,
        delta_dot: Tensor,
        tape: Tape,
        tape_dot: Tensor,
        theta: Weights,
        v: Weights,
        scale: float,
    ) -> Tensor:
        (weight, _), (v_weight, _) = self._weights(theta), self._weights(v)
        # d(δ W) = δ̇ W + δ V, [B, F]
        dx_dot = torch.mm(delta_dot, weight).addmm_(tape.delta, v_weight)  # [B, F]
        if scale:
            # d(δᵀ x) = δ̇ᵀ x + δᵀ ẋ, [L, F]
            self._add_gradient(v, scale, delta_dot, tape.x)
            v_weight.addmm_(tape.delta.t(), tape_dot.reshape(len(tape_dot), -1), alpha=scale)
        return dx_dot.view(tape.x.shape)  # [B, H, W, C]

    def _weights(self, weights: Weights) -> tuple[Tensor, Tensor]:
        return weights.tensors[f"{self.name}.weight"], weights.tensors[f"{self.name}.bias"]

    def _add_gradient(self, into: Weights, scale: float, delta: Tensor, x: Tensor) -> None:
        """Add scale · δᵀ x, and to the bias scale · Σ δ: [B, L], [B, H, W, C] -> [L, F], [L]."""
        weight, bias = self._weights(into)
        weight.addmm_(delta.t(), x.reshape(len(x), -1), alpha=scale)
        bias.add_(delta.sum(0), alpha=scale)
