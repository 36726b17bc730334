"""Layers put together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gdshare.distill.chain.layer import Layer, given
from gdshare.distill.chain.weights import Weights


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
        wanted: bool,
    ) -> Tensor:
        last = len(self.layers) - 1
        for back, (layer, own) in enumerate(
            zip(reversed(self.layers), reversed(tape), strict=True)
        ):
            delta = layer.backward(delta, own, theta, into, scale, wanted or back < last)
        return delta

    def tangent(
        self, dx: Tensor | None, tape: list[Any], theta: Weights, v: Weights, rewind: float
    ) -> tuple[Tensor, list[Any]]:
        duals = []
        for layer, own in zip(self.layers, tape, strict=True):
            dx, dual = layer.tangent(dx, own, theta, v, rewind)
            duals.append(dual)
        return given(dx), duals

    def backward_tangent(
        self,
        ddelta: Tensor,
        tape: list[Any],
        dual: list[Any],
        theta: Weights,
        v: Weights,
        scale: float,
    ) -> Tensor:
        for layer, own, his in zip(
            reversed(self.layers), reversed(tape), reversed(dual), strict=True
        ):
            ddelta = layer.backward_tangent(ddelta, own, his, theta, v, scale)
        return ddelta


@dataclass(frozen=True)
class Residual:
    """main(x) + shortcut(x); an empty shortcut is x itself."""

    main: Series
    shortcut: Series

    def forward(self, x: Tensor, theta: Weights) -> tuple[Tensor, tuple[list[Any], list[Any]]]:
        y, main = self.main.forward(x, theta)
        around, shortcut = self.shortcut.forward(x, theta)
        return y + around, (main, shortcut)

    def backward(
        self,
        delta: Tensor,
        tape: tuple[list[Any], list[Any]],
        theta: Weights,
        into: Weights,
        scale: float,
        wanted: bool,
    ) -> Tensor:
        dx = self.main.backward(delta, tape[0], theta, into, scale, True)
        return dx + self.shortcut.backward(delta, tape[1], theta, into, scale, True)

    def tangent(
        self,
        dx: Tensor | None,
        tape: tuple[list[Any], list[Any]],
        theta: Weights,
        v: Weights,
        rewind: float,
    ) -> tuple[Tensor, tuple[list[Any], list[Any]]]:
        dy, main = self.main.tangent(dx, tape[0], theta, v, rewind)
        around, shortcut = self.shortcut.tangent(dx, tape[1], theta, v, rewind)
        return dy + around, (main, shortcut)

    def backward_tangent(
        self,
        ddelta: Tensor,
        tape: tuple[list[Any], list[Any]],
        dual: tuple[list[Any], list[Any]],
        theta: Weights,
        v: Weights,
        scale: float,
    ) -> Tensor:
        dx = self.main.backward_tangent(ddelta, tape[0], dual[0], theta, v, scale)
        return dx + self.shortcut.backward_tangent(ddelta, tape[1], dual[1], theta, v, scale)
