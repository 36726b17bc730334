"""A chain's four passes held against automatic differentiation, in float64.

Directional derivatives come from ``torch.autograd.functional.jvp``, which differentiates backwards
twice: torch.func's, forward over backward, knows no group norm.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.functional import jvp
from torch.func import functional_call

from gdshare.distill.chain.layer import pixels, planes
from gdshare.distill.chain.network import Chain, chain_of
from gdshare.distill.chain.weights import Weights
from gdshare.networks import Parameters

SCALE = -0.3


@dataclass(frozen=True)
class Probe:
    """One module, one input, and a direction to move everything in; all as torch lays it out.

    Attributes:
        x, theta, delta: the input, the weights, and a loss's derivative by the output.
        dx, v, ddelta: how these three move.
    """

    module: nn.Module
    chain: Chain
    x: Tensor
    theta: Parameters
    delta: Tensor
    dx: Tensor
    v: Parameters
    ddelta: Tensor

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
    """Random numbers of the right shapes; norms get scales and shifts that are not 1 and 0."""
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
def require_four_passes(one: Probe) -> None:
    """Compare value, gradient, and the derivative of both along the direction."""
    point, direction = (one.x, *one.theta.values()), (one.dx, *one.v.values())
    by_x, *weights = one.gradient(one.delta, *(part.clone() for part in point))
    by_theta = one.named(weights)
    _, dy = jvp(one.value, point, direction)
    _, (dby_x, *weights) = jvp(one.gradient, (one.delta, *point), (one.ddelta, *direction))
    dby_theta = one.named(weights)
    layers, pack = one.chain.layers, one.chain.pack
    theta, v = pack(one.theta), pack(one.v)

    y, tape = layers.forward(laid(one.x), theta)
    same(y, one.value(*point))

    into = pack(one.theta)
    same(layers.backward(laid(one.delta), tape, theta, into, SCALE, True), by_x)
    moved = {name: w + SCALE * by_theta[name] for name, w in one.theta.items()}
    live(one.chain, into, moved)

    # As after a gradient step: the weights have moved, and are moved back on the way.
    tangent, dual = layers.tangent(laid(one.dx), tape, into, v, -SCALE)
    same(tangent, dy)
    live(one.chain, into, one.theta)

    out = layers.backward_tangent(laid(one.ddelta), tape, dual, theta, v, SCALE)
    same(out, dby_x)
    live(one.chain, v, {name: w + SCALE * dby_theta[name] for name, w in one.v.items()})


@torch.no_grad()
def require_left_alone(one: Probe) -> None:
    """With scale 0, and with no rewinding, no weight moves."""
    layers = one.chain.layers
    theta, into, v = (one.chain.pack(w) for w in (one.theta, one.theta, one.v))
    _, tape = layers.forward(laid(one.x), theta)
    layers.backward(laid(one.delta), tape, theta, into, 0.0, False)
    _, dual = layers.tangent(laid(one.dx), tape, theta, v, 0.0)
    layers.backward_tangent(laid(one.ddelta), tape, dual, theta, v, 0.0)
    for name, weight in one.chain.pack(one.theta).named().items():
        assert torch.equal(theta.named()[name], weight), name
        assert torch.equal(into.named()[name], weight), name
    for name, weight in one.chain.pack(one.v).named().items():
        assert torch.equal(v.named()[name], weight), name


@torch.no_grad()
def tangent_of_still_input(one: Probe) -> Tensor:
    """The tangent where the input does not move, as it does not for the first layer."""
    theta, v = one.chain.pack(one.theta), one.chain.pack(one.v)
    _, tape = one.chain.layers.forward(laid(one.x), theta)
    one.chain.layers.backward(laid(one.delta), tape, theta, theta, 0.0, False)
    return one.chain.layers.tangent(None, tape, theta, v, 0.0)[0]


def laid(x: Tensor) -> Tensor:
    """As the chain lays out a map; a row of logits is the same in both."""
    return pixels(x).contiguous() if x.dim() == 4 else x


def same(ours: Tensor, theirs: Tensor) -> None:
    """A map or a row of logits of the chain's is torch's."""
    torch.testing.assert_close(
        planes(ours) if theirs.dim() == 4 else ours,
        theirs,
        rtol=1e-9,
        atol=1e-9,
    )


def live(chain: Chain, ours: Weights, theirs: Parameters) -> None:
    """What of ``theirs`` is live is as in ``ours``."""
    packed, named = chain.pack(theirs).named(), ours.named()
    assert named.keys() == packed.keys()
    for name, weight in packed.items():
        torch.testing.assert_close(named[name], weight, rtol=1e-9, atol=1e-9)
