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
    InnerData,
    Unknowns,
    constrain,
    full,
    greedy,
    trajectory_end,
    window,
)
from gdshare.networks import build, draw, forward

STEPS = 4
HARD = torch.eye(3, dtype=torch.float64).repeat(2, 1)
RESNET, CONVNET = "resnet18", "convnet"


class Case:
    """A network with weights off its near-identity start, unknowns and a minibatch, in float64.

    At that start the last scale of each block is zero, which would hide errors inside the block.
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


def network_case(name, side, images=6, rates=STEPS):
    module = build(name, side)
    theta0 = draw(name, module, torch.Generator().manual_seed(0))
    return Case(module, theta0, side, images, rates)


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
    return Case(module, theta, 4, images, rates)


def require_same(ours, theirs, tolerance=1e-9):
    assert ours.loss == pytest.approx(theirs.loss, rel=1e-12)
    for name in ("images", "logits", "rates"):
        case, other = getattr(ours, name), getattr(theirs, name)
        assert case.shape == other.shape
        assert (case - other).norm() <= tolerance * other.norm(), name


@pytest.mark.parametrize("targets", [SOFT, HARD], ids=["soft", "hard"])
@pytest.mark.parametrize("rates", [1, STEPS], ids=["one rate", "a rate a step"])
@pytest.mark.parametrize("sets", [1, 2], ids=["one set", "a set a step"])
@pytest.mark.parametrize("way", ["full", "window", "greedy"])
def test_every_combination_agrees_with_the_graph(way, sets, rates, targets):
    case = tiny(rates=rates)
    ours, theirs = case.ours(targets), case.theirs(targets)
    if way == "full":
        require_same(full(*ours, STEPS, sets), oracle.full(*theirs, STEPS, sets))
    elif way == "window":
        require_same(window(*ours, 3, 2, sets), oracle.window(*theirs, 3, 2, sets))
    else:
        require_same(greedy(*ours, 3, sets)[0], oracle.greedy(*theirs, 3, sets)[0])


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
    case = network_case(name, side, 3 * sets, rates)
    require_same(full(*case.ours(), 2, sets), oracle.full(*case.theirs(), 2, sets))


@pytest.mark.parametrize(("name", "side"), [(CONVNET, 16), (RESNET, 32)])
def test_window_on_both_networks_agrees_with_the_graph(name, side):
    case = network_case(name, side)
    require_same(window(*case.ours(), 3, 2, 2), oracle.window(*case.theirs(), 3, 2, 2))


@pytest.mark.parametrize(("name", "side"), [(CONVNET, 16), (RESNET, 48)])
def test_greedy_on_both_networks_agrees_with_the_graph(name, side):
    case = network_case(name, side)
    ours, after = greedy(*case.ours(), 1, 2)
    theirs, expected = oracle.greedy(*case.theirs(), 1, 2)
    require_same(ours, theirs)
    require_close(after, expected)


def require_close(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, weight in theirs.items():
        torch.testing.assert_close(ours[name], weight)


@pytest.mark.parametrize("tapes_bytes", [0, 2**40], ids=["weights kept", "tapes kept"])
@pytest.mark.parametrize(("stop", "length"), [(STEPS, STEPS), (STEPS, 2), (STEPS, 1)])
def test_keeping_tapes_or_weights_agrees_with_the_graph(monkeypatch, tapes_bytes, stop, length):
    monkeypatch.setattr(unroll, "TAPES_BYTES", tapes_bytes)
    case = tiny()
    require_same(window(*case.ours(), stop, length), oracle.window(*case.theirs(), stop, length))


def test_weights_are_kept_only_where_tapes_would_take_too_much_memory(monkeypatch):
    case = tiny()
    data = constrain(case.unknowns, SOFT, 1)

    def kinds_of_records():
        with torch.no_grad():
            trajectory = unroll._Trajectory(case.chain, case.chain.pack(case.theta), data, 0, STEPS)
        return [type(step).__name__ for step in trajectory._records]

    assert kinds_of_records() == ["Step"] * STEPS
    monkeypatch.setattr(unroll, "TAPES_BYTES", 0)
    assert kinds_of_records() == ["Step"] + ["Weights"] * (STEPS - 1)


@pytest.mark.parametrize("which", ["images", "logits", "rates"])
@pytest.mark.parametrize("rates", [1, STEPS], ids=["one rate", "a rate a step"])
def test_full_unroll_agrees_with_central_differences_of_the_whole_outer_loss(which, rates):
    case = tiny(images=3, rates=rates)
    gradient = getattr(full(*case.ours(), STEPS), which)

    def loss(unknowns):
        end = oracle.trajectory(case.module, case.theta, unknowns, SOFT, STEPS)
        return oracle.outer_loss(case.module, end, case.real).item()

    value, h = getattr(case.unknowns, which), 1e-5
    for index in range(value.numel()):
        moved = []
        for sign in (1, -1):
            changed = value.clone()
            changed.view(-1)[index] += sign * h
            moved.append(loss(replace(case.unknowns, **{which: changed})))
        numeric = (moved[0] - moved[1]) / (2 * h)
        assert gradient.view(-1)[index].item() == pytest.approx(numeric, rel=1e-5, abs=1e-9)


def test_window_over_the_whole_trajectory_is_the_full_unroll():
    case = tiny()
    require_same(window(*case.ours(), STEPS, STEPS, 2), full(*case.ours(), STEPS, 2), 0.0)


def test_rates_outside_the_window_have_no_derivative():
    gradient = window(*tiny().ours(), 3, 2)
    assert (gradient.rates != 0).tolist() == [False, True, True, False]


def test_images_of_steps_before_the_window_have_no_derivative():
    gradient = window(*tiny().ours(), STEPS, 1, sets=2)
    assert bool((gradient.images[:3] == 0).all())
    assert bool((gradient.logits[:3] == 0).all())
    assert bool((gradient.images[3:] != 0).any())


def test_greedy_steps_in_a_row_are_the_trajectory():
    case = tiny()
    chain, theta, unknowns, targets, real = case.ours()
    losses = []
    for step in range(STEPS):
        gradient, theta = greedy(chain, theta, unknowns, targets, real, step, 2)
        losses.append(gradient.loss)
    require_close(theta, oracle.trajectory(case.module, case.theta, unknowns, SOFT, STEPS, 2))
    assert losses == [
        pytest.approx(full(*case.ours(), steps, 2).loss) for steps in range(1, STEPS + 1)
    ]


def test_greedy_derivative_by_the_rates_is_of_its_own_step_alone():
    gradient, _ = greedy(*tiny().ours(), 2)
    assert (gradient.rates != 0).tolist() == [False, False, True, False]


def test_hard_labels_do_not_move():
    gradient = full(*tiny().ours(HARD), STEPS)
    assert bool((gradient.logits == 0).all())
    assert bool((gradient.images != 0).any())


def test_real_patches_of_all_microbatches_count_alike(monkeypatch):
    case = tiny()
    whole = full(*case.ours(), STEPS)
    monkeypatch.setattr("gdshare.distill.chain.sweeps.MICROBATCH", 2)
    require_same(full(*case.ours(), STEPS), whole, 1e-12)


@pytest.mark.parametrize("way", ["full", "window", "greedy", "trajectory_end"])
@pytest.mark.parametrize("tapes_bytes", [0, 2**40], ids=["weights kept", "tapes kept"])
def test_arguments_are_not_modified(monkeypatch, way, tapes_bytes):
    monkeypatch.setattr(unroll, "TAPES_BYTES", tapes_bytes)
    case = tiny()
    data = constrain(case.unknowns, SOFT, 2)
    tensors = [*case.unknowns.tensors(), *case.theta.values(), *case.real, data.labels, data.rates]
    before = [tensor.clone() for tensor in tensors]
    if way == "full":
        full(*case.ours(), STEPS, 2)
    elif way == "window":
        window(*case.ours(), STEPS, 2, 2)
    elif way == "greedy":
        greedy(*case.ours(), 1, 2)
    else:
        trajectory_end(case.module, case.theta, data, STEPS)
    assert all(torch.equal(a, b) for a, b in zip(before, tensors, strict=True))
    assert not any(tensor.requires_grad for tensor in tensors)


@pytest.mark.parametrize(("name", "side"), [(CONVNET, 16), (RESNET, 32)])
@pytest.mark.parametrize("sets", [1, 2])
def test_a_receiver_runs_plain_gradient_descent(name, side, sets):
    case = network_case(name, side)
    data = constrain(case.unknowns, SOFT, sets)
    end = trajectory_end(case.module, case.theta, data, STEPS)
    require_close(end, oracle.trajectory(case.module, case.theta, case.unknowns, SOFT, STEPS, sets))


@pytest.mark.parametrize("name", [RESNET, CONVNET])
def test_a_receiver_runs_the_trajectory_that_was_differentiated(name):
    module = build(name, 16)
    theta = draw(name, module, torch.Generator().manual_seed(0))
    draws = torch.Generator().manual_seed(1)
    images = torch.randn(3, 1, 16, 16, generator=draws)
    unknowns = Unknowns(images, 2 * torch.eye(3), torch.full((STEPS,), -3.0))
    real = torch.randn(6, 1, 16, 16, generator=draws), torch.arange(6) % 3
    loss = full(chain_of(module, 16), theta, unknowns, SOFT, real, STEPS).loss
    end = trajectory_end(module, theta, constrain(unknowns, SOFT, 1), STEPS)
    again = functional.cross_entropy(forward(module, end, real[0]), real[1]).item()
    assert loss == pytest.approx(again, rel=1e-5)


def test_single_precision_loses_no_more_than_its_rounding():
    case = network_case(CONVNET, 16)
    exact = full(*case.ours(), STEPS)
    chain, theta, unknowns, targets, real = case.ours()
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
def test_rounded_factors_hardly_change_the_direction_of_the_derivative(name, rate):
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
    assert InnerData(images, labels, torch.tensor([0.5])).rates_of(9) == [0.5] * 9
    assert InnerData(images, labels, torch.tensor([0.5, 0.25, 0.125])).rates_of(2) == [0.5, 0.25]
    data = constrain(Unknowns(images, labels, torch.tensor([-30.0, 5.0])), SOFT, 1)
    assert bool((data.rates > 0).all())


def test_sets_take_turns():
    data = InnerData(torch.arange(6.0).view(6, 1, 1, 1), torch.eye(6), torch.ones(1), sets=3)
    images = [data.at(step)[1].flatten().tolist() for step in range(4)]
    assert images == [[0, 1], [2, 3], [4, 5], [0, 1]]
    rows, images, labels = data.at(5)
    assert torch.equal(images, data.images[rows])
    assert torch.equal(labels, data.labels[rows])
