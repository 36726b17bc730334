"""The last layer."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gdshare.distill.chain.layer import Tape, given, tape_of
from gdshare.distill.chain.weights import Weights


@dataclass(frozen=True)
class Linear:
    """The last layer: ``[n, ...]`` flattened (height, width, channels) -> logits [n, classes]."""

    name: str

    def forward(self, x: Tensor, theta: Weights) -> tuple[Tensor, Tape]:
        weight, bias = self._weights(theta)
        return torch.addmm(bias, x.reshape(len(x), -1), weight.t()), tape_of(x)

    def backward(
        self, delta: Tensor, tape: Tape, theta: Weights, into: Weights, scale: float, wanted: bool
    ) -> Tensor:
        tape.delta = delta
        dx = torch.mm(delta, self._weights(theta)[0]).view(tape.x.shape)
        if scale:
            self._add(into, scale, delta, tape.x)
        return dx

    def tangent(
        self, dx: Tensor | None, tape: Tape, theta: Weights, v: Weights, rewind: float
    ) -> tuple[Tensor, Tensor]:
        if rewind:
            self._add(theta, rewind, tape.delta, tape.x)
        weight, _ = self._weights(theta)
        direction, shift = self._weights(v)
        moved = given(dx)
        flat = tape.x.reshape(len(moved), -1)
        dy = torch.addmm(shift, flat, direction.t())
        return dy.addmm_(moved.reshape(flat.shape), weight.t()), moved

    def backward_tangent(
        self, ddelta: Tensor, tape: Tape, dual: Tensor, theta: Weights, v: Weights, scale: float
    ) -> Tensor:
        weight, _ = self._weights(theta)
        direction, _ = self._weights(v)
        dx = torch.mm(ddelta, weight).addmm_(tape.delta, direction).view(tape.x.shape)
        if scale:
            self._add(v, scale, ddelta, tape.x)
            direction.addmm_(tape.delta.t(), dual.reshape(len(dual), -1), alpha=scale)
        return dx

    def _weights(self, weights: Weights) -> tuple[Tensor, Tensor]:
        return weights.tensors[f"{self.name}.weight"], weights.tensors[f"{self.name}.bias"]

    def _add(self, into: Weights, scale: float, delta: Tensor, x: Tensor) -> None:
        weight, bias = self._weights(into)
        weight.addmm_(delta.t(), x.reshape(len(x), -1), alpha=scale)
        bias.add_(delta.sum(0), alpha=scale)
