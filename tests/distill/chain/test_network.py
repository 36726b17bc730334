"""Converting a module: what is carried over, and what is refused."""

import pytest
import torch
from torch import nn

from gdshare.distill.chain.network import chain_of
from gdshare.networks import build, draw, forward

NETWORKS = [("resnet18", 32), ("resnet18", 40), ("convnet", 16)]


def random_weights(name, side):
    module = build(name, side)
    theta = draw(name, module, torch.Generator().manual_seed(0))
    noise = torch.Generator().manual_seed(1)
    return module, {
        name: w + 0.05 * torch.randn(w.shape, generator=noise) for name, w in theta.items()
    }


@pytest.mark.parametrize(("name", "side"), NETWORKS)
def test_chain_computes_what_the_module_computes(name, side):
    module, theta = random_weights(name, side)
    chain = chain_of(module, side)
    x = torch.randn(2, 1, side, side)
    with torch.no_grad():
        logits, _ = chain.layers.forward(x.permute(0, 2, 3, 1), chain.pack(theta))
        torch.testing.assert_close(logits, forward(module, theta, x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "side"), NETWORKS)
def test_packing_and_unpacking_gives_the_same_weights(name, side):
    module, theta = random_weights(name, side)
    chain = chain_of(module, side)
    packed = chain.pack(theta)
    assert packed.named().keys() == theta.keys()
    back = chain.unpack(packed, theta)
    assert all(torch.equal(back[name], weight) for name, weight in theta.items())


@pytest.mark.parametrize(("name", "side"), NETWORKS)
def test_packing_copies(name, side):
    module, theta = random_weights(name, side)
    before = {name: weight.clone() for name, weight in theta.items()}
    chain = chain_of(module, side)
    packed = chain.pack(theta)
    for weight in packed.named().values():
        weight.add_(1.0)
    back = chain.unpack(packed, theta)
    back_again = chain.pack(back)
    assert all(torch.equal(theta[name], weight) for name, weight in before.items())
    again = back_again.named()
    assert all(torch.equal(again[name], weight) for name, weight in packed.named().items())


def test_dead_taps_are_not_modified():
    module, theta = random_weights("resnet18", 32)
    chain = chain_of(module, 32)
    back = chain.unpack(chain.pack(theta).zeros(), theta)
    last = "layer4.1.conv2.weight"  # on a map of 1 x 1: only the middle tap is live
    assert bool((back[last][:, :, 1, 1] == 0).all())
    dead = torch.ones(3, 3, dtype=torch.bool)
    dead[1, 1] = False
    assert torch.equal(back[last][:, :, dead], theta[last][:, :, dead])


@pytest.mark.parametrize("side", [32, 20])
def test_dead_taps_of_resnet18_have_exactly_no_gradient(side):
    module, theta = random_weights("resnet18", side)
    leaves = {name: weight.requires_grad_() for name, weight in theta.items()}
    logits = forward(module, leaves, torch.randn(3, 1, side, side))
    gradients = torch.autograd.grad(logits.logsumexp(1).sum(), list(leaves.values()))
    dead_count = 0
    for name, gradient in zip(leaves, gradients, strict=True):
        if name in (taps := chain_of(module, side).taps):
            dead = torch.ones_like(gradient, dtype=torch.bool)
            dead[:, :, taps[name].rows, taps[name].columns] = False
            assert bool((gradient[dead] == 0).all()), name
            dead_count += int(dead.sum())
    assert dead_count > 0


def test_more_than_half_of_resnet18_is_dead_on_patches_of_32_px():
    module, theta = random_weights("resnet18", 32)
    live = sum(weight.numel() for weight in chain_of(module, 32).pack(theta).named().values())
    assert live < sum(weight.numel() for weight in theta.values()) / 2


class Own(nn.Module):
    """A module whose forward is not its children in order."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.head = nn.Linear(3, 3)

    def forward(self, x):
        return self.head(torch.tanh(self.conv(x)).mean((2, 3)))


class Doubled(nn.ReLU):
    """A subclass of a known class that computes something else."""

    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    "layer",
    [
        pytest.param(Doubled(), id="subclass of a known class"),
        pytest.param(nn.Tanh(), id="another function"),
        pytest.param(nn.BatchNorm2d(4), id="batch norm"),
        pytest.param(nn.InstanceNorm2d(4), id="instance norm"),
        pytest.param(Own(), id="a module with a forward of its own"),
        pytest.param(nn.Conv2d(4, 4, 3, dilation=2), id="dilation"),
        pytest.param(nn.Conv2d(4, 4, 3, groups=2), id="grouped convolution"),
        pytest.param(nn.Conv2d(4, 4, 3, stride=(1, 2)), id="two strides"),
        pytest.param(nn.Conv2d(4, 4, 3, padding=(0, 1)), id="two paddings"),
        pytest.param(nn.Conv2d(4, 4, 3, padding="same"), id="padding in words"),
        pytest.param(nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), id="mirrored padding"),
        pytest.param(nn.GroupNorm(2, 4, affine=False), id="norm without weights"),
        pytest.param(nn.MaxPool2d(2, dilation=2), id="maximum with dilation"),
        pytest.param(nn.MaxPool2d(2, ceil_mode=True), id="maximum that rounds up"),
        pytest.param(nn.MaxPool2d((2, 3)), id="maximum of oblongs"),
        pytest.param(nn.AvgPool2d(3, 2), id="mean of windows that overlap"),
        pytest.param(nn.AvgPool2d(2, padding=1), id="mean with padding"),
        pytest.param(nn.AvgPool2d(5), id="mean that leaves a row over"),
        pytest.param(nn.AdaptiveAvgPool2d(2), id="mean of four quarters"),
        pytest.param(nn.Linear(4, 3, bias=False), id="linear without bias"),
    ],
)
def test_layer_without_a_hand_derived_form_is_refused_not_approximated(layer):
    with pytest.raises(TypeError, match=r"1: no derivatives are written out for \w+"):
        chain_of(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), layer), 8)


def test_network_with_a_forward_of_its_own_is_refused():
    with pytest.raises(TypeError, match="network: no derivatives are written out for Own"):
        chain_of(Own(), 3)
