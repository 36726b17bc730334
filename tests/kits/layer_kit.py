"""A chain's four passes compared with automatic differentiation, in float64.

Directional derivatives come from ``torch.autograd.functional.jvp``, which runs backward twice:
``torch.func.jvp`` does not support group norm.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.functional import jvp
from torch.func import functional_call

from gdshare.distill.chain.layer import to_nchw, to_nhwc
from gdshare.distill.chain.network import Chain, chain_of
from gdshare.distill.chain.weights import Weights
from gdshare.networks import Parameters

SCALE = -0.3


@dataclass(frozen=True)
class Probe:
    """A module, an input, and a direction to move everything in; all in torch's layout.

    Attributes:
        x, theta, delta: the input, the weights, and a loss's derivative by the output.
        x_dot, v, delta_dot: their derivatives along the direction.
    """

    module: nn.Module
    chain: Chain
    x: Tensor
    theta: Parameters
    delta: Tensor
    x_dot: Tensor
    v: Parameters
    delta_dot: Tensor

    def value(self, x: Tensor, *weights: Tensor) -> Tensor:
        """y, as a function of the input and the weights in their order."""
        theta = dict(zip(self.theta, weights, strict=True))
        out: Tensor = functional_call(self.module, theta, (x,))
        return out

    def gradient(self, delta: Tensor, *point: Tensor) -> tuple[Tensor, ...]:
        """The derivatives of y · delta by the input and the weights."""
        with torch.enable_grad():
            leaves = [part.requires_grad_() for part in point]
            y = self.value(*leaves)
            return torch.autograd.grad(y, leaves, delta, create_graph=True)

    def named(self, weights: tuple[Tensor, ...]) -> Parameters:
        return {name: w.detach() for name, w in zip(self.theta, weights, strict=True)}


def probe(layers: nn.Module | list[nn.Module], channels: int, side: int, n: int = 2) -> Probe:
    """Random values of the right shapes; scales and shifts of norms are not 1 and 0."""
    module = nn.Sequential(*layers) if isinstance(layers, list) else nn.Sequential(layers)
    module = module.double()
    draws = torch.Generator().manual_seed(1)

    def normal(shape: torch.Size) -> Tensor:
        return torch.randn(shape, generator=draws, dtype=torch.float64)

    x = normal(torch.Size((n, channels, side, side)))
    theta = {name: normal(p.shape) for name, p in module.named_parameters()}
    y = functional_call(module, theta, (x,))
    return Probe(
        module,
        chain_of(module, side),
        x,
        theta,
        normal(y.shape),
        normal(x.shape),
        {name: normal(p.shape) for name, p in theta.items()},
        normal(y.shape),
    )


@torch.no_grad()
def require_four_passes(case: Probe) -> None:
    """Compare value, gradient, and the directional derivative of both."""
    point, direction = (case.x, *case.theta.values()), (case.x_dot, *case.v.values())
    by_x, *weights = case.gradient(case.delta, *(part.clone() for part in point))
    by_theta = case.named(weights)
    _, y_dot = jvp(case.value, point, direction)
    _, (by_x_dot, *weights) = jvp(case.gradient, (case.delta, *point), (case.delta_dot, *direction))
    by_theta_dot = case.named(weights)
    layers, pack = case.chain.layers, case.chain.pack
    theta, v = pack(case.theta), pack(case.v)

    y, tape = layers.forward(channels_last(case.x), theta)
    require_same(y, case.value(*point))

    into = pack(case.theta)
    require_same(layers.backward(channels_last(case.delta), tape, theta, into, SCALE, True), by_x)
    moved = {name: w + SCALE * by_theta[name] for name, w in case.theta.items()}
    require_live(case.chain, into, moved)

    # As after a gradient step: the weights have moved, and are moved back.
    tangent, tape_dot = layers.tangent(channels_last(case.x_dot), tape, into, v, -SCALE)
    require_same(tangent, y_dot)
    require_live(case.chain, into, case.theta)

    dx_dot = layers.backward_tangent(channels_last(case.delta_dot), tape, tape_dot, theta, v, SCALE)
    require_same(dx_dot, by_x_dot)
    require_live(
        case.chain, v, {name: w + SCALE * by_theta_dot[name] for name, w in case.v.items()}
    )


@torch.no_grad()
def require_left_alone(case: Probe) -> None:
    """With scale 0 and no rewinding, no weight moves."""
    layers = case.chain.layers
    theta, into, v = (case.chain.pack(w) for w in (case.theta, case.theta, case.v))
    _, tape = layers.forward(channels_last(case.x), theta)
    layers.backward(channels_last(case.delta), tape, theta, into, 0.0, False)
    _, tape_dot = layers.tangent(channels_last(case.x_dot), tape, theta, v, 0.0)
    layers.backward_tangent(channels_last(case.delta_dot), tape, tape_dot, theta, v, 0.0)
    for name, weight in case.chain.pack(case.theta).named().items():
        assert torch.equal(theta.named()[name], weight), name
        assert torch.equal(into.named()[name], weight), name
    for name, weight in case.chain.pack(case.v).named().items():
        assert torch.equal(v.named()[name], weight), name


@torch.no_grad()
def tangent_of_still_input(case: Probe) -> Tensor:
    """The tangent without an input tangent, as for the first layer."""
    theta, v = case.chain.pack(case.theta), case.chain.pack(case.v)
    _, tape = case.chain.layers.forward(channels_last(case.x), theta)
    case.chain.layers.backward(channels_last(case.delta), tape, theta, theta, 0.0, False)
    return case.chain.layers.tangent(None, tape, theta, v, 0.0)[0]


def channels_last(x: Tensor) -> Tensor:
    """A map in the chain's layout; logits are the same in both."""
    return to_nhwc(x).contiguous() if x.dim() == 4 else x


def require_same(ours: Tensor, theirs: Tensor) -> None:
    """A map or logits of the chain are torch's."""
    torch.testing.assert_close(
        to_nchw(ours) if theirs.dim() == 4 else ours,
        theirs,
        rtol=1e-9,
        atol=1e-9,
    )


def require_live(chain: Chain, ours: Weights, theirs: Parameters) -> None:
    """The live part of ``theirs`` is as in ``ours``."""
    packed, named = chain.pack(theirs).named(), ours.named()
    assert named.keys() == packed.keys()
    for name, weight in packed.items():
        torch.testing.assert_close(named[name], weight, rtol=1e-9, atol=1e-9)
