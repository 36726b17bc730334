"""A network's weights as the chain keeps them, with low-rank updates that are applied lazily.

A gradient step on three images changes a weight [O, T] by a product of two thin matrices: they have
as many rows as there are output pixels, twelve in ResNet18's last stage on 64 px patches. Writing
that into four million numbers costs as much as using them does. So such updates stay pending: every
product takes them into account, and they are written together once they have grown.

The shapes' letters are explained in ``layer``; R is the number of pending rows.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


class Matrix:
    """A weight W [O, T] and the sum of low-rank updates that are not yet part of it.

    The factors of products may be rounded to a narrower type than the weight's, and the products
    with them; what they add to the weight is added in the weight's own type.
    """

    def __init__(self, dense: Tensor, factors: torch.dtype | None = None) -> None:
        """Take over a contiguous tensor, which updates then write to.

        Args:
            dense: W.
            factors: type of the factors of products; None: the weight's.
        """
        self._dense = dense
        self._factors = factors or dense.dtype
        self._rounded: Tensor | None = None
        self._left = self._right = dense.new_empty(0)  # [max_pending, O], [max_pending, T]
        self._pending = 0

    @property
    def max_pending(self) -> int:
        """Rows that may be pending: they then add at most a quarter to the cost of a product.

        A product of n rows costs n · O · T with W itself, and n · (O + T) with each pending row.
        """
        outputs, inputs = self._dense.shape
        return outputs * inputs // (4 * (outputs + inputs))

    def to_factor(self, x: Tensor) -> Tensor:
        """A tensor in the type of factors."""
        return x.to(self._factors)

    def dense(self) -> Tensor:
        """W with everything written; not to be modified."""
        if self._pending:
            self._write(*self._updates(), 1.0)
            self._pending = 0
        return self._dense

    def dense_factor(self) -> Tensor:
        """W with everything written, in the type of factors."""
        self.dense()
        return self._factor()

    def copy(self) -> "Matrix":
        """A copy that shares no memory."""
        return Matrix(self.dense().clone(), self._factors)

    def zeros(self) -> "Matrix":
        """Zeros of the same shape and types."""
        return Matrix(torch.zeros_like(self._dense), self._factors)

    def apply(self, x: Tensor) -> Tensor:
        """X Wᵀ: [n, T] -> [n, O], in W's type."""
        x = self.to_factor(x)  # [n, T]
        product = torch.mm(x, self._factor().t())  # [n, O]
        if self._pending:
            left, right = self._updates()  # [R, O], [R, T]
            product.addmm_(torch.mm(x, right.t()), left)  # [n, R] [R, O]
        return product.to(self._dense.dtype)

    def apply_transposed(self, delta: Tensor) -> Tensor:
        """Δ W: [n, O] -> [n, T], in the type of factors."""
        delta = self.to_factor(delta)  # [n, O]
        product = torch.mm(delta, self._factor())  # [n, T]
        if self._pending:
            left, right = self._updates()  # [R, O], [R, T]
            product.addmm_(torch.mm(delta, left.t()), right)  # [n, R] [R, T]
        return product

    def add(self, left: Tensor, right: Tensor, scale: float) -> None:
        """W ← W + scale · leftᵀ right, with left [n, O] and right [n, T]."""
        left, right, rows = self.to_factor(left), self.to_factor(right), len(left)
        if rows > self.max_pending:
            self._write(left, right, scale)
            return
        if self._pending + rows > self.max_pending:
            self.dense()
        if not len(self._left):
            self._left = left.new_empty(self.max_pending, left.shape[1])
            self._right = right.new_empty(self.max_pending, right.shape[1])
        end = self._pending + rows
        torch.mul(left, scale, out=self._left[self._pending : end])
        self._right[self._pending : end] = right
        self._pending = end

    def add_dense(self, update: Tensor, scale: float) -> None:
        """W ← W + scale · update, with update [O, T]."""
        self.dense().add_(update, alpha=scale)
        self._rounded = None

    def _updates(self) -> tuple[Tensor, Tensor]:
        """The factors of what is pending."""
        return self._left[: self._pending], self._right[: self._pending]

    def _factor(self) -> Tensor:
        """The written part of W, in the type of factors."""
        if self._dense.dtype == self._factors:
            return self._dense
        if self._rounded is None:
            self._rounded = self.to_factor(self._dense)
        return self._rounded

    def _write(self, left: Tensor, right: Tensor, scale: float) -> None:
        if self._dense.dtype == self._factors:
            self._dense.addmm_(left.t(), right, alpha=scale)
        else:
            self._dense.add_(torch.mm(left.t(), right), alpha=scale)
            self._rounded = None


@dataclass(frozen=True)
class Weights:
    """A set of weights, or of derivatives by them.

    Attributes:
        matrices: of the convolutions, parameter name -> [O, T].
        tensors: all other parameters.
    """

    matrices: dict[str, Matrix]
    tensors: dict[str, Tensor]

    def named(self) -> dict[str, Tensor]:
        """Every parameter, with pending updates written."""
        return {name: matrix.dense() for name, matrix in self.matrices.items()} | self.tensors

    def copy(self) -> "Weights":
        """A copy that shares no memory."""
        return Weights(
            {name: matrix.copy() for name, matrix in self.matrices.items()},
            {name: tensor.clone() for name, tensor in self.tensors.items()},
        )

    def zeros(self) -> "Weights":
        """Zeros of the same shapes."""
        return Weights(
            {name: matrix.zeros() for name, matrix in self.matrices.items()},
            {name: torch.zeros_like(tensor) for name, tensor in self.tensors.items()},
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the set, without pending updates."""
        return sum(tensor.nbytes for tensor in self.named().values())
