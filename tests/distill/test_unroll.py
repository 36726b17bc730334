"""The engine against its oracle, the plain autograd graph, and against central differences."""

from dataclasses import replace

import graph_unroll as oracle
import pytest
import torch
from graph_unroll import SOFT
from torch import nn
from torch.nn import functional

from gdshare.distill import unroll
from gdshare.distill.chain.network import chain_of
from gdshare.distill.unroll import (
    Labelled,
    Unknowns,
    full,
    greedy,
    labelled,
    trajectory_end,
    window,
)
from gdshare.networks import build, draw, forward

STEPS = 4
HARD = torch.eye(3, dtype=torch.float64).repeat(2, 1)
RESNET, CONVNET = "resnet18", "convnet"


class Problem:
    """A network with weights off its near-identity start, unknowns and a minibatch, in float64.

    At that start the last scale of each block is zero, and whatever goes wrong inside is lost.
    """

    def __init__(self, module, theta, side, images, rates):
        draws = torch.Generator().manual_seed(3)

        def normal(*shape):
            return torch.randn(*shape, generator=draws, dtype=torch.float64)

        self.module, self.chain = module, chain_of(module, side)
        self.theta = {name: w.double() + 0.05 * normal(*w.shape) for name, w in theta.items()}
        self.unknowns = Unknowns(
            normal(images, 1, side, side), normal(images, 3), 0.3 * normal(rates) - 2.5
        )
        self.real = normal(7, 1, side, side), torch.arange(7) % 3

    def ours(self, targets=SOFT):
        return self.chain, self.theta, self.unknowns, targets, self.real

    def theirs(self, targets=SOFT):
        return self.module, self.theta, self.unknowns, targets, self.real


def problem(name, side, images=6, rates=STEPS):
    module = build(name, side)
    drawn = draw(name, module, torch.Generator().manual_seed(0))
    return Problem(module, drawn, side, images, rates)


def tiny(images=6, rates=STEPS):
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.GroupNorm(2, 4),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 3),
    ).double()
    theta = {name: p.detach().clone() for name, p in module.named_parameters()}
    return Problem(module, theta, 4, images, rates)


def require_same(ours, theirs, tolerance=1e-9):
    assert ours.loss == pytest.approx(theirs.loss, rel=1e-12)
    for name in ("images", "logits", "rates"):
        one, other = getattr(ours, name), getattr(theirs, name)
        assert one.shape == other.shape
        assert (one - other).norm() <= tolerance * other.norm(), name


@pytest.mark.parametrize("targets", [SOFT, HARD], ids=["soft", "hard"])
@pytest.mark.parametrize("rates", [1, STEPS], ids=["one rate", "a rate a step"])
@pytest.mark.parametrize("sets", [1, 2], ids=["one set", "a set a step"])
@pytest.mark.parametrize("way", ["full", "window", "greedy"])
def test_every_combination_agrees_with_the_graph(way, sets, rates, targets):
    one = tiny(rates=rates)
    mine, theirs = one.ours(targets), one.theirs(targets)
    if way == "full":
        require_same(full(*mine, STEPS, sets), oracle.full(*theirs, STEPS, sets))
    elif way == "window":
        require_same(window(*mine, 3, 2, sets), oracle.window(*theirs, 3, 2, sets))
    else:
        require_same(greedy(*mine, 3, sets)[0], oracle.greedy(*theirs, 3, sets)[0])


@pytest.mark.parametrize(
    ("name", "side", "sets", "rates"),
    [
        pytest.param(CONVNET, 16, 1, STEPS, id="convnet 16"),
        pytest.param(CONVNET, 32, 2, 1, id="convnet 32"),
        # Maps of 1 x 1 at the end: eight of nine taps of its convolutions are dead.
        pytest.param(RESNET, 32, 2, STEPS, id="resnet18 32"),
        # Maps of 40, 20, 10, 5, 3, 2: strides that leave a row over.
        pytest.param(RESNET, 40, 1, STEPS, id="resnet18 40"),
        pytest.param(RESNET, 64, 1, 1, id="resnet18 64"),
    ],
)
def test_full_unroll_of_both_networks_agrees_with_the_graph(name, side, sets, rates):
    one = problem(name, side, 3 * sets, rates)
    require_same(full(*one.ours(), 2, sets), oracle.full(*one.theirs(), 2, sets))


@pytest.mark.parametrize(("name", "side"), [(CONVNET, 16), (RESNET, 32)])
def test_window_on_both_networks_agrees_with_the_graph(name, side):
    one = problem(name, side)
    require_same(window(*one.ours(), 3, 2, 2), oracle.window(*one.theirs(), 3, 2, 2))


@pytest.mark.parametrize(("name", "side"), [(CONVNET, 16), (RESNET, 48)])
def test_greedy_on_both_networks_agrees_with_the_graph(name, side):
    one = problem(name, side)
    mine, after = greedy(*one.ours(), 1, 2)
    theirs, expected = oracle.greedy(*one.theirs(), 1, 2)
    require_same(mine, theirs)
    require_close(after, expected)


def require_close(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, weight in theirs.items():
        torch.testing.assert_close(ours[name], weight)


@pytest.mark.parametrize("tapes_bytes", [0, 2**40], ids=["weights kept", "tapes kept"])
@pytest.mark.parametrize(("stop", "length"), [(STEPS, STEPS), (STEPS, 2), (STEPS, 1)])
def test_either_way_of_remembering_the_trail_agrees_with_the_graph(
    monkeypatch, tapes_bytes, stop, length
):
    monkeypatch.setattr(unroll, "TAPES_BYTES", tapes_bytes)
    one = tiny()
    require_same(window(*one.ours(), stop, length), oracle.window(*one.theirs(), stop, length))


def test_trail_keeps_weights_only_where_tapes_would_take_too_much(monkeypatch):
    one = tiny()
    data = labelled(one.unknowns, SOFT, 1)

    def kept():
        with torch.no_grad():
            trail = unroll._Trajectory(one.chain, one.chain.pack(one.theta), data, 0, STEPS)
        return [type(step).__name__ for step in trail._kept]

    assert kept() == ["Step"] * STEPS
    monkeypatch.setattr(unroll, "TAPES_BYTES", 0)
    assert kept() == ["Step"] + ["Weights"] * (STEPS - 1)


@pytest.mark.parametrize("which", ["images", "logits", "rates"])
@pytest.mark.parametrize("rates", [1, STEPS], ids=["one rate", "a rate a step"])
def test_full_unroll_agrees_with_central_differences_of_the_whole_outer_loss(which, rates):
    one = tiny(images=3, rates=rates)
    gradient = getattr(full(*one.ours(), STEPS), which)

    def loss(unknowns):
        end = oracle.trajectory(one.module, one.theta, unknowns, SOFT, STEPS)
        return oracle.outer_loss(one.module, end, one.real).item()

    value, h = getattr(one.unknowns, which), 1e-5
    for index in range(value.numel()):
        moved = []
        for sign in (1, -1):
            changed = value.clone()
            changed.view(-1)[index] += sign * h
            moved.append(loss(replace(one.unknowns, **{which: changed})))
        numeric = (moved[0] - moved[1]) / (2 * h)
        assert gradient.view(-1)[index].item() == pytest.approx(numeric, rel=1e-5, abs=1e-9)


def test_window_over_the_whole_trajectory_is_the_full_unroll():
    one = tiny()
    require_same(window(*one.ours(), STEPS, STEPS, 2), full(*one.ours(), STEPS, 2), 0.0)


def test_rates_outside_the_window_have_no_derivative():
    found = window(*tiny().ours(), 3, 2)
    assert (found.rates != 0).tolist() == [False, True, True, False]


def test_images_whose_step_is_before_the_window_have_no_derivative():
    found = window(*tiny().ours(), STEPS, 1, sets=2)
    assert bool((found.images[:3] == 0).all())
    assert bool((found.logits[:3] == 0).all())
    assert bool((found.images[3:] != 0).any())


def test_greedy_steps_one_after_another_make_the_trajectory():
    one = tiny()
    chain, theta, unknowns, targets, real = one.ours()
    losses = []
    for step in range(STEPS):
        found, theta = greedy(chain, theta, unknowns, targets, real, step, 2)
        losses.append(found.loss)
    require_close(theta, oracle.trajectory(one.module, one.theta, unknowns, SOFT, STEPS, 2))
    assert losses == [
        pytest.approx(full(*one.ours(), steps, 2).loss) for steps in range(1, STEPS + 1)
    ]


def test_greedy_derivative_by_the_rates_is_of_its_own_step_alone():
    found, _ = greedy(*tiny().ours(), 2)
    assert (found.rates != 0).tolist() == [False, False, True, False]


def test_hard_labels_do_not_move():
    found = full(*tiny().ours(HARD), STEPS)
    assert bool((found.logits == 0).all())
    assert bool((found.images != 0).any())


def test_real_patches_that_do_not_go_through_together_count_alike(monkeypatch):
    one = tiny()
    whole = full(*one.ours(), STEPS)
    monkeypatch.setattr("gdshare.distill.chain.sweeps.MICROBATCH", 2)
    require_same(full(*one.ours(), STEPS), whole, 1e-12)


@pytest.mark.parametrize("way", ["full", "window", "greedy", "trajectory_end"])
@pytest.mark.parametrize("tapes_bytes", [0, 2**40], ids=["weights kept", "tapes kept"])
def test_arguments_are_left_as_they_were(monkeypatch, way, tapes_bytes):
    monkeypatch.setattr(unroll, "TAPES_BYTES", tapes_bytes)
    one = tiny()
    data = labelled(one.unknowns, SOFT, 2)
    tensors = [*one.unknowns.tensors(), *one.theta.values(), *one.real, data.labels, data.rates]
    before = [tensor.clone() for tensor in tensors]
    if way == "full":
        full(*one.ours(), STEPS, 2)
    elif way == "window":
        window(*one.ours(), STEPS, 2, 2)
    elif way == "greedy":
        greedy(*one.ours(), 1, 2)
    else:
        trajectory_end(one.module, one.theta, data, STEPS)
    assert all(torch.equal(a, b) for a, b in zip(before, tensors, strict=True))
    assert not any(tensor.requires_grad for tensor in tensors)


@pytest.mark.parametrize(("name", "side"), [(CONVNET, 16), (RESNET, 32)])
@pytest.mark.parametrize("sets", [1, 2])
def test_the_trajectory_a_receiver_runs_is_plain_gradient_descent(name, side, sets):
    one = problem(name, side)
    data = labelled(one.unknowns, SOFT, sets)
    end = trajectory_end(one.module, one.theta, data, STEPS)
    require_close(end, oracle.trajectory(one.module, one.theta, one.unknowns, SOFT, STEPS, sets))


@pytest.mark.parametrize("name", [RESNET, CONVNET])
def test_the_trajectory_a_receiver_runs_is_the_one_that_was_differentiated(name):
    module = build(name, 16)
    theta = draw(name, module, torch.Generator().manual_seed(0))
    draws = torch.Generator().manual_seed(1)
    images = torch.randn(3, 1, 16, 16, generator=draws)
    unknowns = Unknowns(images, 2 * torch.eye(3), torch.full((STEPS,), -3.0))
    real = torch.randn(6, 1, 16, 16, generator=draws), torch.arange(6) % 3
    loss = full(chain_of(module, 16), theta, unknowns, SOFT, real, STEPS).loss
    end = trajectory_end(module, theta, labelled(unknowns, SOFT, 1), STEPS)
    again = functional.cross_entropy(forward(module, end, real[0]), real[1]).item()
    assert loss == pytest.approx(again, rel=1e-5)


def test_single_precision_loses_no_more_than_its_own_rounding():
    one = problem(CONVNET, 16)
    exact = full(*one.ours(), STEPS)
    chain, theta, unknowns, targets, real = one.ours()
    rounded = full(
        chain,
        {name: w.float() for name, w in theta.items()},
        Unknowns(*(tensor.float() for tensor in unknowns.tensors())),
        targets,
        (real[0].float(), real[1]),
        STEPS,
    )
    assert rounded.images.dtype == torch.float32
    for ours, theirs in zip(rounded.tensors(), exact.tensors(), strict=True):
        assert (ours - theirs).norm() < 1e-4 * theirs.norm()


@pytest.mark.parametrize(("name", "rate"), [(CONVNET, 0.02), (RESNET, 0.01)])
def test_rounded_factors_hardly_turn_the_derivative(name, rate):
    module = build(name, 32)
    theta = draw(name, module, torch.Generator().manual_seed(0))
    draws = torch.Generator().manual_seed(1)
    images = torch.randn(3, 1, 32, 32, generator=draws)
    raw = torch.log(torch.expm1(torch.full((STEPS,), rate)))
    unknowns = Unknowns(images, 5 * torch.eye(3), raw)
    real = torch.randn(6, 1, 32, 32, generator=draws), torch.arange(6) % 3
    exact, rounded = (
        full(chain_of(module, 32, factors), theta, unknowns, SOFT, real, STEPS)
        for factors in (torch.float32, torch.bfloat16)
    )
    assert rounded.loss == pytest.approx(exact.loss, rel=0.02)
    for ours, theirs in zip(rounded.tensors(), exact.tensors(), strict=True):
        assert ours.dtype == torch.float32
        assert functional.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > 0.95
    assert not torch.equal(rounded.images, exact.images), "the option does nothing"


def test_rates_are_positive_and_shared_when_there_is_one():
    images, labels = torch.zeros(3, 1, 4, 4), torch.eye(3)
    assert Labelled(images, labels, torch.tensor([0.5])).rates_of(9) == [0.5] * 9
    assert Labelled(images, labels, torch.tensor([0.5, 0.25, 0.125])).rates_of(2) == [0.5, 0.25]
    data = labelled(Unknowns(images, labels, torch.tensor([-30.0, 5.0])), SOFT, 1)
    assert bool((data.rates > 0).all())


def test_sets_take_turns_and_begin_again():
    data = Labelled(torch.arange(6.0).view(6, 1, 1, 1), torch.eye(6), torch.ones(1), sets=3)
    seen = [data.at(step)[1].flatten().tolist() for step in range(4)]
    assert seen == [[0, 1], [2, 3], [4, 5], [0, 1]]
    rows, images, labels = data.at(5)
    assert torch.equal(images, data.images[rows])
    assert torch.equal(labels, data.labels[rows])
