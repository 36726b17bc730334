"""What a layer is: value, gradient, and the directional derivative of both.

Each layer has four passes, in the order in which a Hessian-vector product needs them. A dot marks a
derivative along a direction v of the weights:

``forward``
    x -> y, and a tape of what the later passes need.
``backward``
    δ = ∂loss/∂y -> ∂loss/∂x. The gradient by the weights is not returned but added, times
    ``scale``, to the weights ``into``; where these are the layer's own, that is a gradient step.
    ``scale`` 0 leaves them alone.
``tangent``
    ẋ -> ẏ, and what the last pass needs. With ``rewind`` the weights first move by that multiple of
    the gradient on the tape, which undoes a gradient step.
``backward_tangent``
    δ̇ -> the derivative along v of what ``backward`` returned. The Hessian's product with v (the
    derivative along v of the gradient by the weights) is added, times ``scale``, to v; ``scale`` 0
    leaves v alone.

Activations are channels-last in memory, float32 or float64: a convolution is then one product of a
tall matrix of pixels with the weights, and of the layouts tried this is the one in which a CPU
multiplies three images fastest (``benchmarks.engine``).

Shapes in the comments of this package::

    B        patches that go through together
    H, W, C  height, width and channels of the map that a layer reads
    h, w, O  height, width and channels of the map that it writes
    k, l     live taps of a convolution, rows and columns
    N, T     B·h·w output pixels; k·l·C inputs of each
    P, G     H·W pixels of a map; groups of channels of a norm
    F, L     H·W·C features that the last layer reads; classes

Tapes and weights are modified in place: call the passes under ``torch.no_grad``.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from gdshare.distill.chain.weights import Weights


class Layer(Protocol):
    """The four passes; the module's docstring says what each does."""

    def forward(self, x: Tensor, theta: Weights) -> tuple[Tensor, Any]:
        """y and the tape."""

    def backward(
        self, delta: Tensor, tape: Any, theta: Weights, into: Weights, scale: float, needs_dx: bool
    ) -> Tensor:
        """∂loss/∂x; any tensor at all unless ``needs_dx``."""

    def tangent(
        self, x_dot: Tensor | None, tape: Any, theta: Weights, v: Weights, rewind: float
    ) -> tuple[Tensor, Any]:
        """ẏ, and the tape's own derivatives; ``x_dot`` is None where x does not depend on v."""

    def backward_tangent(
        self, delta_dot: Tensor, tape: Any, tape_dot: Any, theta: Weights, v: Weights, scale: float
    ) -> Tensor:
        """The derivative along v of what ``backward`` returned."""


@dataclass
class Tape:
    """What a layer with a weight matrix remembers of a step: its input and, after ``backward``, δ.

    Attributes:
        x: [B, H, W, C].
        delta: [B, h, w, O], or [B, L] of the last layer; empty before ``backward``.
    """

    x: Tensor
    delta: Tensor


def new_tape(x: Tensor) -> Tape:
    """A tape before ``backward``."""
    return Tape(x, x.new_empty(0))


def to_nchw(x: Tensor) -> Tensor:
    """[B, H, W, C] -> [B, C, H, W], the library's layout; a view."""
    return x.permute(0, 3, 1, 2)


def to_nhwc(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, H, W, C], the chain's layout; a view."""
    return x.permute(0, 2, 3, 1)


def require_tangent(x_dot: Tensor | None) -> Tensor:
    """ẋ, which every layer but the first convolution has.

    Raises:
        ValueError: it is missing: the chain does not begin with a convolution.
    """
    if x_dot is None:
        raise ValueError("a chain must begin with a convolution")
    return x_dot
