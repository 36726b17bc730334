import pytest
import torch
from torch import nn
from torch.nn import functional

from gdshare.distill.unroll import (
    Unknowns,
    full,
    soft_cross_entropy,
    step_rates,
    trajectory_end,
)
from gdshare.networks import build, draw, forward

STEPS = 4
SOFT = torch.empty(0)


class Tiny(nn.Module):
    """Smooth everywhere, so that central differences converge."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
        self.norm = nn.GroupNorm(3, 3)
        self.head = nn.Linear(3 * 16, 3)

    def forward(self, x):
        return self.head(torch.tanh(self.norm(self.conv(x))).flatten(1))


def tiny():
    torch.manual_seed(0)
    module = Tiny().double()
    theta = {name: p.detach().clone() for name, p in module.named_parameters()}
    unknowns = Unknowns(
        torch.randn(3, 1, 4, 4, dtype=torch.float64),
        torch.eye(3, dtype=torch.float64) * 2 + 0.1 * torch.randn(3, 3, dtype=torch.float64),
        torch.linspace(-2, -1, STEPS, dtype=torch.float64),
    )
    real = torch.randn(6, 1, 4, 4, dtype=torch.float64), torch.arange(6) % 3
    return module, theta, unknowns, real


def outer_loss(module, theta, unknowns, real, targets=SOFT):
    """Eq. 2 in plain steps, with nothing of the code under test but Eq. 1's loss."""
    labels = targets if targets.numel() else functional.softmax(unknowns.logits, 1)
    rates = functional.softplus(unknowns.rates).expand(STEPS)
    for rate in rates:
        theta = {name: w.detach().requires_grad_() for name, w in theta.items()}
        loss = -(labels * forward(module, theta, unknowns.images).log_softmax(1)).sum(1).mean()
        grads = torch.autograd.grad(loss, list(theta.values()))
        theta = {n: w - rate * g for (n, w), g in zip(theta.items(), grads, strict=True)}
    return functional.cross_entropy(forward(module, theta, real[0]), real[1]).item()


@pytest.mark.parametrize("which", ["images", "logits", "rates"])
@pytest.mark.parametrize("shared", [False, True], ids=["a rate a step", "one rate"])
def test_full_unroll_agrees_with_central_differences_of_the_whole_outer_loss(which, shared):
    module, theta, unknowns, real = tiny()
    if shared:
        unknowns = Unknowns(unknowns.images, unknowns.logits, unknowns.rates[:1])
    loss, gradients = full(module, theta, unknowns, SOFT, real, STEPS)
    assert loss == pytest.approx(outer_loss(module, theta, unknowns, real), rel=1e-12)
    gradient = dict(zip(("images", "logits", "rates"), gradients, strict=True))[which]
    value, h = getattr(unknowns, which), 1e-5
    for index in range(value.numel()):
        moved = []
        for sign in (1, -1):
            changed = value.clone()
            changed.view(-1)[index] += sign * h
            tensors = {
                "images": unknowns.images,
                "logits": unknowns.logits,
                "rates": unknowns.rates,
            }
            moved.append(outer_loss(module, theta, Unknowns(**(tensors | {which: changed})), real))
        numeric = (moved[0] - moved[1]) / (2 * h)
        assert gradient.view(-1)[index].item() == pytest.approx(numeric, rel=1e-5, abs=1e-9)


def test_hard_labels_do_not_move():
    module, theta, unknowns, real = tiny()
    targets = torch.eye(3, dtype=torch.float64)
    loss, (by_images, by_logits, _) = full(module, theta, unknowns, targets, real, STEPS)
    assert loss == pytest.approx(outer_loss(module, theta, unknowns, real, targets), rel=1e-12)
    assert bool((by_logits == 0).all())
    assert bool((by_images != 0).any())


@pytest.mark.parametrize("name", ["resnet18", "convnet"])
def test_the_trajectory_a_receiver_runs_is_the_one_that_was_differentiated(name):
    module = build(name, 16)
    theta = draw(name, module, torch.Generator().manual_seed(0))
    draws = torch.Generator().manual_seed(1)
    images = torch.randn(3, 1, 16, 16, generator=draws)
    unknowns = Unknowns(images, 2 * torch.eye(3), torch.full((STEPS,), -3.0))
    real = torch.randn(6, 1, 16, 16, generator=draws), torch.arange(6) % 3
    loss, _ = full(module, theta, unknowns, SOFT, real, STEPS)
    labels, rates = functional.softmax(unknowns.logits, 1), functional.softplus(unknowns.rates)
    end = trajectory_end(module, theta, images, labels, rates, STEPS)
    again = functional.cross_entropy(forward(module, end, real[0]), real[1]).item()
    assert loss == pytest.approx(again, rel=1e-5)


def test_arguments_are_left_as_they_were():
    module, theta, unknowns, real = tiny()
    before = [t.clone() for t in (*unknowns.tensors(), *theta.values())]
    full(module, theta, unknowns, SOFT, real, STEPS)
    after = [*unknowns.tensors(), *theta.values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not any(t.requires_grad for t in after)


def test_soft_cross_entropy_on_one_hot_rows_is_cross_entropy():
    logits, classes = torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 0])
    soft = soft_cross_entropy(logits, functional.one_hot(classes, 3).float())
    torch.testing.assert_close(soft, functional.cross_entropy(logits, classes))


def test_rates_are_positive_and_shared_when_there_is_one():
    assert step_rates(torch.tensor([-30.0]), 9).shape == (9,)
    assert bool((step_rates(torch.tensor([-30.0, 5.0]), 2) > 0).all())
