import pytest
import torch
from torch import nn

from gdshare.dead_taps import drop_dead, find_trims, restore_dead, trim_network
from gdshare.networks import build, draw, forward


def networks(side=32):
    whole = build("resnet18", side)
    theta = draw("resnet18", whole, torch.Generator().manual_seed(0))
    theta = {name: w + 0.01 * torch.randn_like(w) for name, w in theta.items()}
    trims = find_trims(whole, side)
    return whole, theta, trims


def loss_and_gradient(module, theta, x):
    leaves = {name: w.detach().double().requires_grad_() for name, w in theta.items()}
    loss = forward(module, leaves, x).square().sum()
    return loss, dict(zip(leaves, torch.autograd.grad(loss, leaves.values()), strict=True))


def test_at_32_px_resnet18s_last_four_convolutions_have_dead_taps():
    _, _, trims = networks()
    assert {name: trim.kernel for name, trim in trims.items()} == {
        "layer4.0.conv1.weight": (2, 2),
        "layer4.0.conv2.weight": (1, 1),
        "layer4.1.conv1.weight": (1, 1),
        "layer4.1.conv2.weight": (1, 1),
    }


@pytest.mark.parametrize("side", [16, 32, 64, 75])
def test_a_trimmed_network_has_the_value_and_gradient_of_the_whole(side):
    whole, theta, trims = networks(side)
    x = torch.randn(2, 1, side, side, dtype=torch.float64)
    expected, gradient = loss_and_gradient(whole, theta, x)
    loss, live = loss_and_gradient(trim_network(whole, trims), drop_dead(theta, trims), x)
    torch.testing.assert_close(loss, expected)
    zeros = {name: torch.zeros_like(w) for name, w in gradient.items()}
    back = restore_dead(live, zeros, trims)  # so the gradient of every dead tap is zero
    for name in gradient:
        torch.testing.assert_close(back[name], gradient[name])


def test_dead_taps_are_restored_and_no_memory_is_shared():
    _, theta, trims = networks()
    live = drop_dead(theta, trims)
    for name in trims:
        live[name].zero_()
    back = restore_dead(live, theta, trims)
    for name, trim in trims.items():
        assert not trim.taps.of(back[name]).any()
        trim.taps.of(back[name]).copy_(trim.taps.of(theta[name]))
        assert torch.equal(back[name], theta[name])


def test_a_convolution_that_would_need_unequal_padding_is_left_whole():
    with torch.device("meta"):  # 2 px under 4 of padding: the first tap of five meets only zeros
        module = nn.Sequential(nn.Conv2d(1, 1, kernel_size=5, stride=3, padding=4))
    assert find_trims(module, 2) == {}
