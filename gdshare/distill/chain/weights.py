"""A network's weights as the chain holds them, and updates to them that wait for each other.

A gradient step of three images moves a weight of [out, in] by a product of two thin matrices: as
many rows as there are output pixels, twelve in ResNet18's last stage on 64 px patches. Writing that
into four million numbers costs as much as using them does, so such updates are kept as they are,
taken into account in every product, and written all at once when they have grown together.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


class Matrix:
    """A weight W [out, in] and the sum of low-rank updates that are not yet part of it.

    Products round their factors to a type that may be narrower than the weight's, and so may their
    results be; what they add to the weight is added in the weight's own type.
    """

    def __init__(self, written: Tensor, factors: torch.dtype | None = None) -> None:
        """Start from a contiguous tensor, which is from now on written to.

        Args:
            written: W.
            factors: type of the factors of products; None: the weight's.
        """
        self._written = written
        self._factors = factors or written.dtype
        self._rounded: Tensor | None = None
        self._left = self._right = written.new_empty(0)
        self._rows = 0

    @property
    def patience(self) -> int:
        """Rows up to which updates wait: what they cost in a product is then at most a quarter.

        A product of n rows costs n · out · in with W itself, and n · (out + in) a waiting row.
        """
        out, into = self._written.shape
        return out * into // (4 * (out + into))

    def factor(self, x: Tensor) -> Tensor:
        """A tensor in the type of factors."""
        return x.to(self._factors)

    def whole(self) -> Tensor:
        """W with everything written; read it only."""
        if self._rows:
            self._write(self._left[: self._rows], self._right[: self._rows], 1.0)
            self._rows = 0
        return self._written

    def whole_factor(self) -> Tensor:
        """W with everything written, in the type of factors."""
        self.whole()
        return self._factor()

    def copy(self) -> "Matrix":
        """Another of equal value."""
        return Matrix(self.whole().clone(), self._factors)

    def zeros(self) -> "Matrix":
        """Another of the same shape, all zero."""
        return Matrix(torch.zeros_like(self._written), self._factors)

    def times(self, x: Tensor) -> Tensor:
        """X Wᵀ: [n, in] -> [n, out], in W's type."""
        x = self.factor(x)
        product = torch.mm(x, self._factor().t())
        if self._rows:
            left, right = self._left[: self._rows], self._right[: self._rows]
            product.addmm_(torch.mm(x, right.t()), left)
        return product.to(self._written.dtype)

    def transposed_times(self, delta: Tensor) -> Tensor:
        """Δ W: [n, out] -> [n, in], in the type of factors."""
        delta = self.factor(delta)
        product = torch.mm(delta, self._factor())
        if self._rows:
            left, right = self._left[: self._rows], self._right[: self._rows]
            product.addmm_(torch.mm(delta, left.t()), right)
        return product

    def add(self, left: Tensor, right: Tensor, scale: float) -> None:
        """W ← W + scale · leftᵀ right, with left [n, out] and right [n, in]."""
        left, right, rows = self.factor(left), self.factor(right), len(left)
        if rows > self.patience:
            self._write(left, right, scale)
            return
        if self._rows + rows > self.patience:
            self.whole()
        if not len(self._left):
            self._left = left.new_empty(self.patience, left.shape[1])
            self._right = right.new_empty(self.patience, right.shape[1])
        torch.mul(left, scale, out=self._left[self._rows : self._rows + rows])
        self._right[self._rows : self._rows + rows] = right
        self._rows += rows

    def add_whole(self, update: Tensor, scale: float) -> None:
        """W ← W + scale · update."""
        self.whole().add_(update, alpha=scale)
        self._rounded = None

    def _factor(self) -> Tensor:
        if self._written.dtype == self._factors:
            return self._written
        if self._rounded is None:
            self._rounded = self.factor(self._written)
        return self._rounded

    def _write(self, left: Tensor, right: Tensor, scale: float) -> None:
        if self._written.dtype == self._factors:
            self._written.addmm_(left.t(), right, alpha=scale)
        else:
            self._written.add_(torch.mm(left.t(), right), alpha=scale)
            self._rounded = None


@dataclass(frozen=True)
class Weights:
    """A set of weights, or of derivatives by them.

    Attributes:
        matrices: of the convolutions, parameter name -> [out, live taps * in].
        tensors: all other parameters.
    """

    matrices: dict[str, Matrix]
    tensors: dict[str, Tensor]

    def named(self) -> dict[str, Tensor]:
        """Every parameter, with everything written."""
        return {name: matrix.whole() for name, matrix in self.matrices.items()} | self.tensors

    def copy(self) -> "Weights":
        """Another set of equal values."""
        return Weights(
            {name: matrix.copy() for name, matrix in self.matrices.items()},
            {name: tensor.clone() for name, tensor in self.tensors.items()},
        )

    def zeros(self) -> "Weights":
        """A set of the same shapes, all zero."""
        return Weights(
            {name: matrix.zeros() for name, matrix in self.matrices.items()},
            {name: torch.zeros_like(tensor) for name, tensor in self.tensors.items()},
        )

    @property
    def nbytes(self) -> int:
        """Bytes of one written set."""
        return sum(tensor.nbytes for tensor in self.named().values())
