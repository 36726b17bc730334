"""A convolution as one matrix product over its windows."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gdshare.distill.chain.layer import Tape, pixels, planes, tape_of
from gdshare.distill.chain.weights import Matrix, Weights

MATRIX_ROWS = 768
"""Output pixels up to which a convolution is done as a matrix product. Above, the library's own
kernel is faster; below, up to four times slower, most of all in its backward pass."""


@dataclass(frozen=True)
class Convolution:
    """A convolution, of those taps only that ever meet a pixel.

    With one pixel of padding, eight of the nine taps of a 3x3 kernel on a 1x1 map only ever see
    zeros: their gradient is exactly zero, and they are neither read nor moved here.

    Attributes:
        name: of its parameters, without ``.weight`` and ``.bias``.
        kernel: live taps (rows, columns).
        stride: in both directions.
        pad: zeros before and after (top, bottom, left, right) for the live taps.
        bias: whether there is one.
        whole: whether all taps are live and ``pad`` is the same on all sides.
    """

    name: str
    kernel: tuple[int, int]
    stride: int
    pad: tuple[int, int, int, int]
    bias: bool
    whole: bool

    def forward(self, x: Tensor, theta: Weights) -> tuple[Tensor, Tape]:
        weight, bias = self._weights(theta)
        rounded = weight.factor(x)
        if self._by_library(x):
            shift = None if bias is None else weight.factor(bias)
            y = functional.conv2d(
                planes(rounded), self._kernel(weight, x), shift, self.stride, self.pad[0]
            )
            return pixels(y).to(x.dtype).contiguous(), tape_of(x)
        y = weight.times(self._columns(rounded))
        if bias is not None:
            y.add_(bias)
        return y.view(*self._map(x), -1), tape_of(x)

    def backward(
        self, delta: Tensor, tape: Tape, theta: Weights, into: Weights, scale: float, wanted: bool
    ) -> Tensor:
        weight, bias = self._weights(theta)
        tape.delta = delta
        x = tape.x
        if self._by_library(x):
            dx, dw, db = torch.ops.aten.convolution_backward(
                planes(weight.factor(delta)),
                planes(weight.factor(x)),
                self._kernel(weight, x),
                None if bias is None else list(bias.shape),
                [self.stride] * 2,
                [self.pad[0]] * 2,
                [1, 1],
                False,
                [0, 0],
                1,
                [wanted, True, bias is not None],
            )
            if scale:
                moved, shift = self._weights(into)
                moved.add_whole(pixels(dw).reshape(len(dw), -1), scale)
                if shift is not None:
                    shift.add_(db, alpha=scale)
            return pixels(dx).to(x.dtype).contiguous() if wanted else delta
        flat = delta.reshape(-1, delta.shape[3])
        dx = self._fold(weight.transposed_times(flat), x) if wanted else delta
        if scale:
            self._add_gradient(into, scale, flat, self._columns(weight.factor(x)))
        return dx

    def tangent(
        self, dx: Tensor | None, tape: Tape, theta: Weights, v: Weights, rewind: float
    ) -> tuple[Tensor, tuple[Tensor, Tensor | None]]:
        weight, _ = self._weights(theta)
        columns = self._columns(weight.factor(tape.x))
        if rewind:
            self._add_gradient(theta, rewind, tape.delta.reshape(len(columns), -1), columns)
        direction, shift = self._weights(v)
        dy = direction.times(columns)
        if shift is not None:
            dy.add_(shift)
        moved = None if dx is None else self._columns(weight.factor(dx))
        if moved is not None:
            dy.add_(weight.times(moved))
        return dy.view(*self._map(tape.x), -1), (columns, moved)

    def backward_tangent(
        self,
        ddelta: Tensor,
        tape: Tape,
        dual: tuple[Tensor, Tensor | None],
        theta: Weights,
        v: Weights,
        scale: float,
    ) -> Tensor:
        weight, _ = self._weights(theta)
        direction, _ = self._weights(v)
        columns, moved = dual
        flat, dflat = (d.reshape(len(columns), -1) for d in (tape.delta, ddelta))
        dx = self._fold(
            weight.transposed_times(dflat).add_(direction.transposed_times(flat)), tape.x
        )
        if scale:
            self._add_gradient(v, scale, dflat, columns)
            if moved is not None:
                direction.add(flat, moved, scale)
        return dx

    def _weights(self, weights: Weights) -> tuple[Matrix, Tensor | None]:
        return weights.matrices[f"{self.name}.weight"], weights.tensors.get(f"{self.name}.bias")

    def _add_gradient(self, into: Weights, scale: float, delta: Tensor, columns: Tensor) -> None:
        weight, bias = self._weights(into)
        weight.add(delta, columns, scale)
        if bias is not None:
            bias.add_(delta.sum(0), alpha=scale)

    def _map(self, x: Tensor) -> tuple[int, int, int]:
        n, height, width, _ = x.shape
        top, bottom, left, right = self.pad
        return (
            n,
            (height + top + bottom - self.kernel[0]) // self.stride + 1,
            (width + left + right - self.kernel[1]) // self.stride + 1,
        )

    def _by_library(self, x: Tensor) -> bool:
        n, height, width = self._map(x)
        return self.whole and n * height * width > MATRIX_ROWS

    def _kernel(self, weight: Matrix, x: Tensor) -> Tensor:
        return planes(weight.whole_factor().view(-1, *self.kernel, x.shape[3]))

    def _columns(self, x: Tensor) -> Tensor:
        """Each output pixel's inputs as a row: [n * height * width, taps * in]."""
        n, height, width = self._map(x)
        if self.kernel == (1, 1) and not any(self.pad):
            step = self.stride
            return x[:, ::step, ::step].reshape(n * height * width, -1)
        top, bottom, left, right = self.pad
        padded = functional.pad(x, (0, 0, left, right, top, bottom))
        s0, s1, s2, s3 = padded.stride()
        windows = padded.as_strided(
            (n, height, width, *self.kernel, x.shape[3]),
            (s0, s1 * self.stride, s2 * self.stride, s1, s2, s3),
        )
        return windows.reshape(n * height * width, -1)

    def _fold(self, columns: Tensor, x: Tensor) -> Tensor:
        """The transpose of ``_columns``: add each row's entries to the pixels they came from."""
        n, height, width = self._map(x)
        top, bottom, left, right = self.pad
        _, rows, cols, channels = x.shape
        if self.kernel == (1, 1) and self.stride == 1 and not any(self.pad):
            return columns.to(x.dtype).view(x.shape)
        parts = columns.view(n, height, width, *self.kernel, channels)
        padded = x.new_zeros(n, rows + top + bottom, cols + left + right, channels)
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                padded[
                    :,
                    i : i + self.stride * (height - 1) + 1 : self.stride,
                    j : j + self.stride * (width - 1) + 1 : self.stride,
                ] += parts[:, :, :, i, j]
        return padded[:, top : top + rows, left : left + cols]
