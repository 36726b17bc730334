"""Sweeps over a whole small network against automatic differentiation, in float64."""

import pytest
import torch
from layer_kit import probe, require_live
from torch import nn
from torch.nn import functional

from gdshare.distill.chain import sweeps
from gdshare.distill.chain.sweeps import add_gradient, outer_gradient, pull_back, tape_bytes

RATE = 0.3
EXACT = {"rtol": 1e-9, "atol": 1e-9}


def network():
    layers = [nn.Conv2d(1, 4, 3, 1, 1), nn.GroupNorm(2, 4), nn.ReLU(), nn.AvgPool2d(2)]
    return probe([*layers, nn.Flatten(), nn.Linear(16, 3)], 1, 4, n=3)


def soft_labels():
    draws = torch.Generator().manual_seed(2)
    return torch.rand(3, 3, generator=draws, dtype=torch.float64).softmax(1)


def inner_loss(case, x, labels, *weights):
    return -(labels * case.value(x, *weights).log_softmax(1)).sum(1).mean()


@torch.no_grad()
def test_add_gradient_adds_the_inner_gradient():
    case, labels = network(), soft_labels()
    theta, into = case.chain.pack(case.theta), case.chain.pack(case.v)
    add_gradient(case.chain, theta, case.x, labels, RATE, into, 2.0)
    with torch.enable_grad():
        weights = [w.clone().requires_grad_() for w in case.theta.values()]
        gradients = torch.autograd.grad(inner_loss(case, case.x, labels, *weights), weights)
    named = zip(case.v.items(), gradients, strict=True)
    require_live(case.chain, into, {name: v + 2.0 * g for (name, v), g in named})
    require_live(case.chain, theta, case.theta)


@torch.no_grad()
@pytest.mark.parametrize("rewind", [True, False], ids=["rewound", "at the weights before the step"])
@pytest.mark.parametrize("last", [True, False], ids=["last", "not the last"])
def test_pull_back_gives_the_derivatives_of_the_slope_and_moves_the_direction(rewind, last):
    case, labels = network(), soft_labels()
    theta, v = case.chain.pack(case.theta), case.chain.pack(case.v)
    step = add_gradient(case.chain, theta, case.x, labels, RATE, theta, -RATE if rewind else 0.0)
    product = pull_back(case.chain, theta, step, v, rewind, last)

    with torch.enable_grad():
        x, y = case.x.clone().requires_grad_(), labels.clone().requires_grad_()
        weights = [w.clone().requires_grad_() for w in case.theta.values()]
        loss = inner_loss(case, x, y, *weights)
        gradients = torch.autograd.grad(loss, weights, create_graph=True)
        slope = sum((g * d).sum() for g, d in zip(gradients, case.v.values(), strict=True))
        by_x, by_y, *hessian = torch.autograd.grad(
            slope, [x, y, *weights], allow_unused=True, materialize_grads=True
        )
    torch.testing.assert_close(product.slope, slope.detach(), **EXACT)
    torch.testing.assert_close(product.by_images, by_x, **EXACT)
    torch.testing.assert_close(product.by_labels, by_y, **EXACT)
    pulled = zip(case.v.items(), hessian, strict=True)
    expected = {name: d if last else d - RATE * h for (name, d), h in pulled}
    require_live(case.chain, v, expected)
    require_live(case.chain, theta, case.theta)


@torch.no_grad()
@pytest.mark.parametrize("microbatch", [2, 3, 32])
def test_outer_gradient_is_that_of_the_mean_over_all_real_patches(monkeypatch, microbatch):
    monkeypatch.setattr(sweeps, "MICROBATCH", microbatch)
    case, classes = network(), torch.tensor([2, 0, 0])
    loss, gradient = outer_gradient(case.chain, case.chain.pack(case.theta), case.x, classes)
    with torch.enable_grad():
        weights = [w.clone().requires_grad_() for w in case.theta.values()]
        expected = functional.cross_entropy(case.value(case.x, *weights), classes)
        gradients = torch.autograd.grad(expected, weights)
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    require_live(case.chain, gradient, dict(zip(case.theta, gradients, strict=True)))


@torch.no_grad()
def test_bytes_of_a_tape_count_each_tensor_once():
    module = [nn.Conv2d(1, 4, 3, 1, 1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)]
    case = probe(module, 1, 4, n=3)
    theta = case.chain.pack(case.theta)
    step = add_gradient(case.chain, theta, case.x, soft_labels(), RATE, theta, 0.0)
    image, maps, logits = 3 * 16, 3 * 16 * 4, 3 * 3
    # The patch; the rectifier's values, which the linear layer's tape holds too; two δs.
    assert tape_bytes(step) == 8 * (image + maps + maps + logits)


def test_bytes_of_weights_leave_dead_taps_out():
    case = probe(nn.Conv2d(1, 4, 3, padding=1, bias=False), 1, 1)
    assert case.chain.pack(case.theta).nbytes == 8 * 4
