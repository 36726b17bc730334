"""Layers without weights: rectifier and pooling."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gdshare.distill.chain.layer import given, pixels, planes
from gdshare.distill.chain.weights import Weights


@dataclass(frozen=True)
class Relu:
    """max(x, 0); its derivative at 0 is 0."""

    def forward(self, x: Tensor, theta: Weights) -> tuple[Tensor, Tensor]:
        y = x.relu()
        return y, y

    def backward(
        self, delta: Tensor, tape: Tensor, theta: Weights, into: Weights, scale: float, wanted: bool
    ) -> Tensor:
        return _masked(delta, tape)

    def tangent(
        self, dx: Tensor | None, tape: Tensor, theta: Weights, v: Weights, rewind: float
    ) -> tuple[Tensor, None]:
        return _masked(given(dx), tape), None

    def backward_tangent(
        self, ddelta: Tensor, tape: Tensor, dual: None, theta: Weights, v: Weights, scale: float
    ) -> Tensor:
        return _masked(ddelta, tape)


@dataclass(frozen=True)
class MaxPool:
    """Maximum over windows; the derivative goes to the first pixel that attains it."""

    kernel: int
    stride: int
    pad: int

    def forward(self, x: Tensor, theta: Weights) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        y, at = torch.ops.aten.max_pool2d_with_indices(planes(x), *self._window())
        return pixels(y), (x, at)

    def backward(
        self,
        delta: Tensor,
        tape: tuple[Tensor, Tensor],
        theta: Weights,
        into: Weights,
        scale: float,
        wanted: bool,
    ) -> Tensor:
        x, at = tape
        return pixels(
            torch.ops.aten.max_pool2d_with_indices_backward(
                planes(delta), planes(x), *self._window(), [1, 1], False, at
            )
        )

    def tangent(
        self,
        dx: Tensor | None,
        tape: tuple[Tensor, Tensor],
        theta: Weights,
        v: Weights,
        rewind: float,
    ) -> tuple[Tensor, None]:
        at = pixels(tape[1])
        n, height, width, channels = at.shape
        flat = given(dx).reshape(n, -1, channels)
        return flat.gather(1, at.reshape(n, height * width, channels)).view(at.shape), None

    def backward_tangent(
        self,
        ddelta: Tensor,
        tape: tuple[Tensor, Tensor],
        dual: None,
        theta: Weights,
        v: Weights,
        scale: float,
    ) -> Tensor:
        return self.backward(ddelta, tape, theta, v, scale, True)

    def _window(self) -> tuple[list[int], list[int], list[int]]:
        return [self.kernel] * 2, [self.stride] * 2, [self.pad] * 2


@dataclass(frozen=True)
class MeanPool:
    """Mean over ``size`` x ``size`` windows that do not overlap; over the whole map when None."""

    size: int | None

    def forward(self, x: Tensor, theta: Weights) -> tuple[Tensor, torch.Size]:
        return self._mean(x), x.shape

    def backward(
        self,
        delta: Tensor,
        tape: torch.Size,
        theta: Weights,
        into: Weights,
        scale: float,
        wanted: bool,
    ) -> Tensor:
        n, height, width, channels = tape
        down, across = self._windows(tape)
        share = (delta / (down * across)).view(n, height // down, 1, width // across, 1, channels)
        return share.expand(-1, -1, down, -1, across, -1).reshape(tape)

    def tangent(
        self, dx: Tensor | None, tape: torch.Size, theta: Weights, v: Weights, rewind: float
    ) -> tuple[Tensor, None]:
        return self._mean(given(dx)), None

    def backward_tangent(
        self, ddelta: Tensor, tape: torch.Size, dual: None, theta: Weights, v: Weights, scale: float
    ) -> Tensor:
        return self.backward(ddelta, tape, theta, v, scale, True)

    def _windows(self, shape: torch.Size) -> tuple[int, int]:
        return (shape[1], shape[2]) if self.size is None else (self.size, self.size)

    def _mean(self, x: Tensor) -> Tensor:
        if self.size is None:
            return x.mean((1, 2), keepdim=True)
        return pixels(functional.avg_pool2d(planes(x), self.size)).contiguous()


def _masked(delta: Tensor, y: Tensor) -> Tensor:
    out: Tensor = torch.ops.aten.threshold_backward(delta, y, 0)
    return out
