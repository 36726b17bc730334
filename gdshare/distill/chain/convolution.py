"""A convolution as one matrix product over its windows.

The shapes' letters are explained in ``layer``. All taps of a window and all channels under them are
one row of a matrix ``columns`` [N, T], so that y = columns Wᵀ with W [O, T].
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gdshare.distill.chain.layer import Tape, new_tape, to_nchw, to_nhwc
from gdshare.distill.chain.weights import Matrix, Weights

MATRIX_ROWS = 768
"""Output pixels N up to which a convolution is done as a matrix product. Above, the library's own
kernel is faster; below, up to four times slower, most of all in its backward pass."""


@dataclass(frozen=True)
class Convolution:
    """A convolution, reduced to its live taps: those that ever meet a pixel.

    With one pixel of padding, eight of the nine taps of a 3x3 kernel on a 1x1 map only ever see
    zeros: their gradient is exactly zero, and they are neither read nor moved here.

    Attributes:
        name: of its parameters, without ``.weight`` and ``.bias``.
        kernel: (k, l), live taps.
        stride: in both directions.
        pad: zeros (above, below, left, right) that the live taps need.
        whole: whether all taps are live, and hence ``pad`` is the same on all sides.
    """

    name: str
    kernel: tuple[int, int]
    stride: int
    pad: tuple[int, int, int, int]
    whole: bool

    def forward(self, x: Tensor, theta: Weights) -> tuple[Tensor, Tape]:
        weight, bias = self._weights(theta)  # [O, T], [O]
        factor = weight.to_factor(x)  # [B, H, W, C]
        if self._by_library(x):
            shift = None if bias is None else weight.to_factor(bias)  # [O]
            kernel = self._kernel(weight, x)  # [O, C, k, l]
            y = functional.conv2d(to_nchw(factor), kernel, shift, self.stride, self.pad[0])
            return to_nhwc(y).to(x.dtype).contiguous(), new_tape(x)  # [B, h, w, O]
        y = weight.apply(self._columns(factor))  # [N, O]
        if bias is not None:
            y.add_(bias)
        return y.view(*self._output(x), -1), new_tape(x)  # [B, h, w, O]

    def backward(
        self, delta: Tensor, tape: Tape, theta: Weights, into: Weights, scale: float, needs_dx: bool
    ) -> Tensor:
        tape.delta = delta  # [B, h, w, O]
        if self._by_library(tape.x):
            return self._backward_by_library(delta, tape.x, theta, into, scale, needs_dx)
        weight, _ = self._weights(theta)
        flat = delta.reshape(-1, delta.shape[3])  # [N, O]
        # δ W, then back to the pixels: [N, O] [O, T] -> [N, T] -> [B, H, W, C]
        dx = self._fold(weight.apply_transposed(flat), tape.x) if needs_dx else delta
        if scale:
            self._add_gradient(into, scale, flat, self._columns(weight.to_factor(tape.x)))
        return dx

    def tangent(
        self, x_dot: Tensor | None, tape: Tape, theta: Weights, v: Weights, rewind: float
    ) -> tuple[Tensor, tuple[Tensor, Tensor | None]]:
        weight, _ = self._weights(theta)
        columns = self._columns(weight.to_factor(tape.x))  # [N, T]
        if rewind:
            self._add_gradient(theta, rewind, tape.delta.reshape(len(columns), -1), columns)
        v_weight, v_bias = self._weights(v)  # [O, T], [O]
        y_dot = v_weight.apply(columns)  # [N, O]
        if v_bias is not None:
            y_dot.add_(v_bias)
        columns_dot = None if x_dot is None else self._columns(weight.to_factor(x_dot))  # [N, T]
        if columns_dot is not None:
            y_dot.add_(weight.apply(columns_dot))
        return y_dot.view(*self._output(tape.x), -1), (columns, columns_dot)  # [B, h, w, O]

    def backward_tangent(
        self,
        delta_dot: Tensor,
        tape: Tape,
        tape_dot: tuple[Tensor, Tensor | None],
        theta: Weights,
        v: Weights,
        scale: float,
    ) -> Tensor:
        (weight, _), (v_weight, _) = self._weights(theta), self._weights(v)
        columns, columns_dot = tape_dot  # [N, T], [N, T]
        flat = tape.delta.reshape(len(columns), -1)  # [N, O]
        flat_dot = delta_dot.reshape(len(columns), -1)  # [N, O]
        # d(δ W) = δ̇ W + δ V
        dcolumns = weight.apply_transposed(flat_dot)  # [N, T]
        dcolumns.add_(v_weight.apply_transposed(flat))
        dx_dot = self._fold(dcolumns, tape.x)  # [B, H, W, C]
        if scale:
            # d(δᵀ columns) = δ̇ᵀ columns + δᵀ columns_dot, [O, T]
            self._add_gradient(v, scale, flat_dot, columns)
            if columns_dot is not None:
                v_weight.add(flat, columns_dot, scale)
        return dx_dot

    def _backward_by_library(
        self,
        delta: Tensor,
        x: Tensor,
        theta: Weights,
        into: Weights,
        scale: float,
        needs_dx: bool,
    ) -> Tensor:
        weight, bias = self._weights(theta)
        dx, dw, db = torch.ops.aten.convolution_backward(  # [B, C, H, W], [O, C, k, l], [O]
            to_nchw(weight.to_factor(delta)),
            to_nchw(weight.to_factor(x)),
            self._kernel(weight, x),
            None if bias is None else list(bias.shape),
            [self.stride] * 2,
            [self.pad[0]] * 2,
            [1, 1],
            False,
            [0, 0],
            1,
            [needs_dx, True, bias is not None],
        )
        if scale:
            into_weight, into_bias = self._weights(into)
            into_weight.add_dense(to_nhwc(dw).reshape(len(dw), -1), scale)  # [O, T]
            if into_bias is not None:
                into_bias.add_(db, alpha=scale)
        return to_nhwc(dx).to(x.dtype).contiguous() if needs_dx else delta  # [B, H, W, C]

    def _weights(self, weights: Weights) -> tuple[Matrix, Tensor | None]:
        return weights.matrices[f"{self.name}.weight"], weights.tensors.get(f"{self.name}.bias")

    def _add_gradient(self, into: Weights, scale: float, delta: Tensor, columns: Tensor) -> None:
        """Add scale · δᵀ columns, and to the bias scale · Σ δ: [N, O], [N, T] -> [O, T], [O]."""
        weight, bias = self._weights(into)
        weight.add(delta, columns, scale)
        if bias is not None:
            bias.add_(delta.sum(0), alpha=scale)

    def _output(self, x: Tensor) -> tuple[int, int, int]:
        """(B, h, w) of the map that is written for x [B, H, W, C]."""
        n, height, width, _ = x.shape
        top, bottom, left, right = self.pad
        return (
            n,
            (height + top + bottom - self.kernel[0]) // self.stride + 1,
            (width + left + right - self.kernel[1]) // self.stride + 1,
        )

    def _by_library(self, x: Tensor) -> bool:
        n, height, width = self._output(x)
        return self.whole and n * height * width > MATRIX_ROWS

    def _kernel(self, weight: Matrix, x: Tensor) -> Tensor:
        """[O, T] -> [O, C, k, l], as the library wants it."""
        return to_nchw(weight.dense_factor().view(-1, *self.kernel, x.shape[3]))

    def _columns(self, x: Tensor) -> Tensor:
        """Each output pixel's inputs as a row: [B, H, W, C] -> [N, T]."""
        n, height, width = self._output(x)
        if self.kernel == (1, 1) and not any(self.pad):
            step = self.stride
            return x[:, ::step, ::step].reshape(n * height * width, -1)  # [N, C]
        top, bottom, left, right = self.pad
        padded = functional.pad(x, (0, 0, left, right, top, bottom))  # [B, H + pad, W + pad, C]
        s0, s1, s2, s3 = padded.stride()
        windows = padded.as_strided(  # [B, h, w, k, l, C]
            (n, height, width, *self.kernel, x.shape[3]),
            (s0, s1 * self.stride, s2 * self.stride, s1, s2, s3),
        )
        return windows.reshape(n * height * width, -1)  # [N, T]

    def _fold(self, columns: Tensor, x: Tensor) -> Tensor:
        """The transpose of ``_columns``: add each row's entries to the pixels they came from."""
        n, height, width = self._output(x)
        top, bottom, left, right = self.pad
        _, rows, cols, channels = x.shape
        if self.kernel == (1, 1) and self.stride == 1 and not any(self.pad):
            return columns.to(x.dtype).view(x.shape)  # [B, H, W, C]
        parts = columns.view(n, height, width, *self.kernel, channels)  # [B, h, w, k, l, C]
        padded = x.new_zeros(n, rows + top + bottom, cols + left + right, channels)
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                padded[
                    :,
                    i : i + self.stride * (height - 1) + 1 : self.stride,
                    j : j + self.stride * (width - 1) + 1 : self.stride,
                ] += parts[:, :, :, i, j]  # [B, h, w, C]
        return padded[:, top : top + rows, left : left + cols]  # [B, H, W, C]
