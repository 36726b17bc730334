"""Layers put together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gdshare.distill.chain.layer import Layer, require_tangent
from gdshare.distill.chain.weights import Weights

Pair = tuple[list[Any], list[Any]]
"""Of the main path and of the shortcut."""


@dataclass(frozen=True)
class Series:
    """Layers one after another."""

    layers: Sequence[Layer]

    def forward(self, x: Tensor, theta: Weights) -> tuple[Tensor, list[Any]]:
        tapes = []
        for layer in self.layers:
            x, tape = layer.forward(x, theta)
            tapes.append(tape)
        return x, tapes

    def backward(
        self,
        delta: Tensor,
        tape: list[Any],
        theta: Weights,
        into: Weights,
        scale: float,
        needs_dx: bool,
    ) -> Tensor:
        for place in reversed(range(len(self.layers))):
            delta = self.layers[place].backward(
                delta, tape[place], theta, into, scale, needs_dx or place > 0
            )
        return delta

    def tangent(
        self, x_dot: Tensor | None, tape: list[Any], theta: Weights, v: Weights, rewind: float
    ) -> tuple[Tensor, list[Any]]:
        tape_dot = []
        for layer, own in zip(self.layers, tape, strict=True):
            x_dot, own_dot = layer.tangent(x_dot, own, theta, v, rewind)
            tape_dot.append(own_dot)
        return require_tangent(x_dot), tape_dot

    def backward_tangent(
        self,
        delta_dot: Tensor,
        tape: list[Any],
        tape_dot: list[Any],
        theta: Weights,
        v: Weights,
        scale: float,
    ) -> Tensor:
        for place in reversed(range(len(self.layers))):
            delta_dot = self.layers[place].backward_tangent(
                delta_dot, tape[place], tape_dot[place], theta, v, scale
            )
        return delta_dot


@dataclass(frozen=True)
class Residual:
    """main(x) + shortcut(x); an empty shortcut is the identity. Maps are [B, H, W, C]."""

    main: Series
    shortcut: Series

    def forward(self, x: Tensor, theta: Weights) -> tuple[Tensor, Pair]:
        y, main = self.main.forward(x, theta)
        skip, shortcut = self.shortcut.forward(x, theta)
        return y + skip, (main, shortcut)

    def backward(
        self, delta: Tensor, tape: Pair, theta: Weights, into: Weights, scale: float, needs_dx: bool
    ) -> Tensor:
        dx = self.main.backward(delta, tape[0], theta, into, scale, True)
        return dx + self.shortcut.backward(delta, tape[1], theta, into, scale, True)

    def tangent(
        self, x_dot: Tensor | None, tape: Pair, theta: Weights, v: Weights, rewind: float
    ) -> tuple[Tensor, Pair]:
        y_dot, main = self.main.tangent(x_dot, tape[0], theta, v, rewind)
        skip_dot, shortcut = self.shortcut.tangent(x_dot, tape[1], theta, v, rewind)
        return y_dot + skip_dot, (main, shortcut)

    def backward_tangent(
        self,
        delta_dot: Tensor,
        tape: Pair,
        tape_dot: Pair,
        theta: Weights,
        v: Weights,
        scale: float,
    ) -> Tensor:
        dx_dot = self.main.backward_tangent(delta_dot, tape[0], tape_dot[0], theta, v, scale)
        return dx_dot + self.shortcut.backward_tangent(
            delta_dot, tape[1], tape_dot[1], theta, v, scale
        )
