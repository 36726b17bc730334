"""What a layer is: value, gradient, and the directional derivative of both.

Each layer has four passes, in the order in which a product with the Hessian needs them:

``forward``
    x -> y and a tape of what the later passes need.
``backward``
    δ, the loss's derivative by y -> the derivative by x. The derivative by the weights is not
    returned but added, scaled, to a set of weights ``into``, which may be the weights themselves:
    that is a gradient step. ``scale`` 0 leaves them out.
``tangent``
    ẋ, the derivative of x along a direction v of the weights -> ẏ and what the last pass needs.
    With ``rewind`` the weights first go back by that multiple of the gradient on the tape.
``backward_tangent``
    δ̇, the derivative of δ along v -> that of the derivative by x. The gradient's own derivative
    along v, which is the Hessian's product with v, is added, scaled, to v; ``scale`` 0 leaves v.

Activations are ``[n, height, width, channels]`` in memory, float32 or float64. In this layout a
convolution is one product of a tall matrix of pixels with the weights ``[out, taps * in]``; of the
orders tried, it is the one in which a CPU multiplies three images fastest (benchmarks.engine).

All of it runs in place on tapes and weights, and wants ``torch.no_grad`` around it.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from gdshare.distill.chain.weights import Weights


class Layer(Protocol):
    """The four passes; the module's docstring says what each does."""

    def forward(self, x: Tensor, theta: Weights) -> tuple[Tensor, Any]:
        """Value and tape."""

    def backward(
        self, delta: Tensor, tape: Any, theta: Weights, into: Weights, scale: float, wanted: bool
    ) -> Tensor:
        """Derivative by x; anything at all when it is not ``wanted``."""

    def tangent(
        self, dx: Tensor | None, tape: Any, theta: Weights, v: Weights, rewind: float
    ) -> tuple[Tensor, Any]:
        """Derivative of the value along v; ``dx`` is None where x does not depend on it."""

    def backward_tangent(
        self, ddelta: Tensor, tape: Any, dual: Any, theta: Weights, v: Weights, scale: float
    ) -> Tensor:
        """Derivative along v of what ``backward`` returns."""


@dataclass
class Tape:
    """What a layer with a matrix of weights remembers of a step: its input and, later, δ."""

    x: Tensor
    delta: Tensor


def tape_of(x: Tensor) -> Tape:
    """A tape that knows its input, but no δ yet."""
    return Tape(x, x.new_empty(0))


def planes(x: Tensor) -> Tensor:
    """[n, height, width, channels] as the library's [n, channels, height, width], not moved."""
    return x.permute(0, 3, 1, 2)


def pixels(x: Tensor) -> Tensor:
    """The way back from ``planes``."""
    return x.permute(0, 2, 3, 1)


def given(dx: Tensor | None) -> Tensor:
    """A derivative that is there, as it is behind any convolution."""
    if dx is None:
        raise ValueError("a chain must begin with a convolution")
    return dx
