"""Layers without weights: rectifier and pooling. The shapes' letters are explained in ``layer``."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gdshare.distill.chain.layer import require_tangent, to_nchw, to_nhwc
from gdshare.distill.chain.weights import Weights


@dataclass(frozen=True)
class Relu:
    """max(x, 0); its derivative at 0 is 0. The tape is y."""

    def forward(self, x: Tensor, theta: Weights) -> tuple[Tensor, Tensor]:
        y = x.relu()  # [B, H, W, C]
        return y, y

    def backward(
        self,
        delta: Tensor,
        tape: Tensor,
        theta: Weights,
        into: Weights,
        scale: float,
        needs_dx: bool,
    ) -> Tensor:
        return _where_positive(tape, delta)

    def tangent(
        self, x_dot: Tensor | None, tape: Tensor, theta: Weights, v: Weights, rewind: float
    ) -> tuple[Tensor, None]:
        return _where_positive(tape, require_tangent(x_dot)), None

    def backward_tangent(
        self,
        delta_dot: Tensor,
        tape: Tensor,
        tape_dot: None,
        theta: Weights,
        v: Weights,
        scale: float,
    ) -> Tensor:
        return _where_positive(tape, delta_dot)


@dataclass(frozen=True)
class MaxPool:
    """Maximum over windows; the derivative goes to the first pixel that attains it.

    The tape is x [B, H, W, C] and, of each output, the index of its maximum in H·W [B, O, h, w].
    """

    kernel: int
    stride: int
    pad: int

    def forward(self, x: Tensor, theta: Weights) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        y, at = torch.ops.aten.max_pool2d_with_indices(to_nchw(x), *self._window())  # [B, C, h, w]
        return to_nhwc(y), (x, at)  # [B, h, w, C]

    def backward(
        self,
        delta: Tensor,
        tape: tuple[Tensor, Tensor],
        theta: Weights,
        into: Weights,
        scale: float,
        needs_dx: bool,
    ) -> Tensor:
        x, at = tape
        dx = torch.ops.aten.max_pool2d_with_indices_backward(  # [B, C, H, W]
            to_nchw(delta), to_nchw(x), *self._window(), [1, 1], False, at
        )
        return to_nhwc(dx)

    def tangent(
        self,
        x_dot: Tensor | None,
        tape: tuple[Tensor, Tensor],
        theta: Weights,
        v: Weights,
        rewind: float,
    ) -> tuple[Tensor, None]:
        at = to_nhwc(tape[1])  # [B, h, w, C]
        n, height, width, channels = at.shape
        flat = require_tangent(x_dot).reshape(n, -1, channels)  # [B, H*W, C]
        y_dot = flat.gather(1, at.reshape(n, height * width, channels))  # [B, h*w, C]
        return y_dot.view(at.shape), None  # [B, h, w, C]

    def backward_tangent(
        self,
        delta_dot: Tensor,
        tape: tuple[Tensor, Tensor],
        tape_dot: None,
        theta: Weights,
        v: Weights,
        scale: float,
    ) -> Tensor:
        return self.backward(delta_dot, tape, theta, v, scale, True)

    def _window(self) -> tuple[list[int], list[int], list[int]]:
        return [self.kernel] * 2, [self.stride] * 2, [self.pad] * 2


@dataclass(frozen=True)
class MeanPool:
    """Mean over ``size`` x ``size`` windows that do not overlap; over the whole map when None.

    The tape is the shape of x.
    """

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
        needs_dx: bool,
    ) -> Tensor:
        n, height, width, channels = tape
        down, across = (height, width) if self.size is None else (self.size, self.size)
        share = delta / (down * across)  # [B, h, w, C]
        share = share.view(n, height // down, 1, width // across, 1, channels)  # [B, h, 1, w, 1, C]
        return share.expand(-1, -1, down, -1, across, -1).reshape(tape)  # [B, H, W, C]

    def tangent(
        self, x_dot: Tensor | None, tape: torch.Size, theta: Weights, v: Weights, rewind: float
    ) -> tuple[Tensor, None]:
        return self._mean(require_tangent(x_dot)), None

    def backward_tangent(
        self,
        delta_dot: Tensor,
        tape: torch.Size,
        tape_dot: None,
        theta: Weights,
        v: Weights,
        scale: float,
    ) -> Tensor:
        return self.backward(delta_dot, tape, theta, v, scale, True)

    def _mean(self, x: Tensor) -> Tensor:
        if self.size is None:
            return x.mean((1, 2), keepdim=True)  # [B, 1, 1, C]
        return to_nhwc(functional.avg_pool2d(to_nchw(x), self.size)).contiguous()  # [B, h, w, C]


def _where_positive(y: Tensor, delta: Tensor) -> Tensor:
    """Delta where y > 0, else 0; both [B, H, W, C]."""
    masked: Tensor = torch.ops.aten.threshold_backward(delta, y, 0)
    return masked
