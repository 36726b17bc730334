import dataclasses
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from announcement_kit import shared_theta0
from film_kit import PROTOCOL
from torch.nn import functional

from gdshare import pooling
from gdshare.announcement import number_of
from gdshare.distill.head import Head, body_of, train_head
from gdshare.distill.score import tensors_of
from gdshare.distill.unroll import trajectory_end
from gdshare.distilled import Distilled
from gdshare.errors import DivergedError, UsageError
from gdshare.method import Method
from gdshare.networks import build, digest, draw, forward
from gdshare.pooling import SCHEMES, Contribution, capped_weights, train_alone, train_pooled
from gdshare.seeding import torch_generator
from gdshare.theta0 import announced_theta0

METHOD = Method(network="convnet", epochs=2, steps=2)
FIXED = METHOD.model_copy(update={"theta0": "announced", "theta0_number": 3})


def contribution(
    site, seed, patients=10, method=METHOD, initialiser="zero-head/1", theta0_sha256=None
):
    draws = np.random.default_rng(seed)
    distilled = Distilled(
        draws.normal(size=(3 * method.sets, 1, 16, 16)).astype(np.float32),
        np.tile(np.eye(3, dtype=np.float32), (method.sets, 1)),
        np.full(method.trajectory, 0.02, np.float32),
    )
    return Contribution(site, distilled, method, initialiser, patients, theta0_sha256)


def theta0(seed, place=0):
    module = build("convnet", 16)
    return module, draw("convnet", module, torch_generator(seed, "pooled-theta0", place))


def end_of(part, theta):
    data = tensors_of(part.distilled, part.method.sets, torch.device("cpu"))
    return trajectory_end(build("convnet", 16), theta, data, part.method.trajectory)


def close(a, b):
    return all(torch.allclose(a[name], b[name], atol=1e-6) for name in a)


@pytest.mark.parametrize("scheme", ["average", "in-step", "sequential"])
def test_a_single_bundle_gives_its_own_trajectory(scheme):
    first = contribution("a", 1)
    _, start = theta0(5)
    model = train_pooled([first], PROTOCOL, scheme, 5)
    assert close(model.ensemble[0], end_of(first, start))


def test_average_weights_the_ends_of_the_hospitals_own_trajectories():
    longer = METHOD.model_copy(update={"epochs": 3})
    first, second = contribution("a", 1, 15), contribution("b", 2, 10, longer)
    _, start = theta0(5)
    ends = [end_of(first, start), end_of(second, start)]
    mean = {name: 0.6 * ends[0][name] + 0.4 * ends[1][name] for name in start}
    assert close(train_pooled([second, first], PROTOCOL, "average", 5).ensemble[0], mean)


def test_sequential_goes_from_one_hospital_to_the_next_by_name():
    first, second = contribution("a", 1), contribution("b", 2)
    _, start = theta0(5)
    expected = end_of(second, end_of(first, start))
    assert close(train_pooled([second, first], PROTOCOL, "sequential", 5).ensemble[0], expected)


def test_in_step_takes_the_weighted_mean_of_the_hospitals_own_steps():
    method = METHOD.model_copy(update={"epochs": 1, "steps": 1})
    first, second = contribution("a", 1, 15, method), contribution("b", 2, 10, method)
    _, start = theta0(5)
    ends = [end_of(first, start), end_of(second, start)]
    mean = {name: 0.6 * ends[0][name] + 0.4 * ends[1][name] for name in start}
    assert close(train_pooled([first, second], PROTOCOL, "in-step", 5).ensemble[0], mean)


def test_sets_of_images_are_trained_on_in_turn():
    method = METHOD.model_copy(update={"sets": 2, "images": 6})
    first = contribution("a", 1, method=method)
    images = np.roll(first.distilled.images, 3, 0)
    distilled = dataclasses.replace(first.distilled, images=images)
    swapped = dataclasses.replace(first, distilled=distilled)
    _, start = theta0(5)
    for scheme in ("average", "in-step", "sequential"):
        model = train_pooled([first], PROTOCOL, scheme, 5)
        assert close(model.ensemble[0], end_of(first, start))
        assert not close(
            model.ensemble[0], train_pooled([swapped], PROTOCOL, scheme, 5).ensemble[0]
        )


def test_bundles_of_an_announced_theta0_are_trained_from_it_whatever_the_seed():
    start = announced_theta0(FIXED, build("convnet", 16))
    first = contribution("a", 1, method=FIXED, theta0_sha256=digest(start))
    for seed in (0, 1):
        model = train_pooled([first], PROTOCOL, "in-step", seed)
        assert close(model.ensemble[0], end_of(first, start))


def test_networks_of_an_ensemble_start_from_different_theta0():
    first = contribution("a", 1)
    model = train_pooled([first], PROTOCOL, "in-step", 5, ensemble=3)
    assert len(model.ensemble) == 3
    for place, parameters in enumerate(model.ensemble):
        assert close(parameters, end_of(first, theta0(5, place)[1]))
    assert not close(model.ensemble[0], model.ensemble[1])


def test_an_ensemble_of_one_announced_theta0_is_one_network():
    start = announced_theta0(FIXED, build("convnet", 16))
    first = contribution("a", 1, method=FIXED, theta0_sha256=digest(start))
    assert len(train_pooled([first], PROTOCOL, "in-step", 0, ensemble=3).ensemble) == 1


@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_way_of_pooling_starts_from_the_shared_model_that_was_announced(scheme):
    """As if a drawn θ0 had its weights: with rates of 0 the model is handed on as it is."""
    shared = shared_theta0(side=16)
    named = {"method": FIXED, "theta0_sha256": digest(shared)}
    parts = [replace(contribution(site, n, **named), shared=shared) for n, site in enumerate("ab")]
    [trained] = train_pooled(parts, PROTOCOL, scheme, 0, ensemble=3).ensemble
    assert not close(trained, shared)
    if scheme in ("average", "in-step"):
        still = np.zeros_like(parts[0].distilled.learning_rates)
        parts = [
            replace(part, distilled=replace(part.distilled, learning_rates=still)) for part in parts
        ]
        assert close(train_pooled(parts, PROTOCOL, scheme, 0).ensemble[0], shared)
    if scheme == "sequential":
        expected = end_of(parts[1], end_of(parts[0], shared))
        assert close(trained, expected)


def test_shared_model_that_is_not_here_is_named():
    theta0 = digest(shared_theta0(side=16))
    method = FIXED.model_copy(update={"theta0_number": number_of(theta0)})
    first = contribution("a", 1, method=method, theta0_sha256=theta0)
    with pytest.raises(UsageError, match=r"distilled for a shared model's weights .* not here"):
        train_pooled([first], PROTOCOL, "average", 0)


def test_announced_theta0_that_this_machine_draws_differently_is_refused():
    first = contribution("a", 1, method=FIXED, theta0_sha256="0" * 64)
    with pytest.raises(
        UsageError, match="the bundle of a was distilled for the announced θ0 000000000000…"
    ):
        train_pooled([first], PROTOCOL, "in-step", 0)


def test_union_fits_all_images_together():
    both = [contribution("a", 1), contribution("b", 2)]
    model = train_pooled(both, PROTOCOL, "union", 5)
    images = torch.from_numpy(np.concatenate([c.distilled.images for c in both]))
    logits = forward(build("convnet", 16), model.ensemble[0], images)
    assert functional.cross_entropy(logits, torch.tensor([0, 1, 2] * 2)) < 0.5


@pytest.mark.parametrize("scheme", SCHEMES)
def test_pooling_is_a_function_of_the_set_of_bundles_and_the_seed(scheme):
    both = [contribution("a", 1), contribution("b", 2)]
    first = train_pooled(both, PROTOCOL, scheme, 0).ensemble[0]
    torch.manual_seed(7)
    again = train_pooled(both[::-1], PROTOCOL, scheme, 0).ensemble[0]
    other = train_pooled(both, PROTOCOL, scheme, 1).ensemble[0]
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not close(first, other)
    assert all(bool(t.isfinite().all()) and not t.requires_grad for t in first.values())


def test_a_false_patient_count_is_capped_at_twice_the_median():
    honest = capped_weights([100, 100, 100])
    assert honest == pytest.approx([1 / 3] * 3)
    false_count = capped_weights([10**9, 100, 100])
    assert false_count == pytest.approx([0.5, 0.25, 0.25])
    assert capped_weights([100, 10**9]) == pytest.approx([1 / 3, 2 / 3])
    assert capped_weights([0, 0]) == [0.5, 0.5]


@pytest.mark.parametrize("diverging", [{1}, {0, 2}])
def test_networks_that_diverge_are_left_out_if_they_are_the_minority(monkeypatch, diverging):
    real = pooling._train

    def sometimes(module, ordered, scheme, seed, place):
        theta = real(module, ordered, scheme, seed, place)
        return {k: w * float("nan") for k, w in theta.items()} if place in diverging else theta

    monkeypatch.setattr(pooling, "_train", sometimes)
    three = partial(train_pooled, [contribution("a", 1)], PROTOCOL, "in-step", 5, ensemble=3)
    if len(diverging) == 1:
        assert len(three().ensemble) == 2
    else:
        with pytest.raises(DivergedError, match="bundles of a leaves the range"):
            three()


@pytest.mark.parametrize("size", [0, 11])
def test_an_ensemble_has_one_to_ten_networks(size):
    with pytest.raises(UsageError, match="choose 1 to 10"):
        train_pooled([contribution("a", 1)], PROTOCOL, "in-step", 5, ensemble=size)


@pytest.mark.parametrize("scheme", ["average", "in-step", "sequential"])
def test_bundle_that_diverges_is_named_and_no_model_is_made(scheme):
    first, second = contribution("a", 1), contribution("wild", 2)
    rates = np.full(METHOD.trajectory, 3e38, np.float32)
    wild = dataclasses.replace(
        second, distilled=dataclasses.replace(second.distilled, learning_rates=rates)
    )
    with pytest.raises(UsageError, match="bundles of wild leaves the range"):
        train_pooled([first, wild], PROTOCOL, scheme, 0)


def test_union_names_the_bundle_that_diverges_and_no_other():
    first, second = contribution("a", 1), contribution("wild", 2)
    images = np.full_like(second.distilled.images, 1e30)
    images[..., 0] = 0.0
    rates = np.full(METHOD.trajectory, 1e30, np.float32)
    changed = dataclasses.replace(second.distilled, images=images, learning_rates=rates)
    wild = dataclasses.replace(second, distilled=changed)
    with pytest.raises(UsageError, match="bundles of wild leaves the range"):
        train_pooled([first, wild], PROTOCOL, "union", 0)


def test_bundles_that_do_not_fit_together_are_refused():
    first = contribution("a", 1)
    longer = contribution("b", 2, method=METHOD.model_copy(update={"epochs": 3}))
    with pytest.raises(UsageError, match="a and b were distilled for 4 and 6 steps"):
        train_pooled([first, longer], PROTOCOL, "in-step", 0)
    assert train_pooled([first, longer], PROTOCOL, "sequential", 0)
    other = contribution("b", 2, initialiser="zero-head/2")
    with pytest.raises(UsageError, match="different initialisers"):
        train_pooled([first, other], PROTOCOL, "union", 0)
    fixed = contribution("b", 2, theta0_sha256="0" * 64)
    with pytest.raises(UsageError, match="a and b expect different announced θ0s"):
        train_pooled([first, fixed], PROTOCOL, "sequential", 0)
    with pytest.raises(UsageError, match="no bundle"):
        train_pooled([], PROTOCOL, "in-step", 0)


HEAD = Method(network="convnet", train="head", steps=4, inner_rate=1.0, theta0_number=3)


def of_head(site, seed, patients=10, method=HEAD):
    start = announced_theta0(method, build("convnet", 16))
    part = contribution(site, seed, patients, method, theta0_sha256=digest(start))
    rates = np.full(method.trajectory, 1.0, np.float32)
    return dataclasses.replace(
        part, distilled=dataclasses.replace(part.distilled, learning_rates=rates)
    )


def head_end(part, start=None):
    theta0 = announced_theta0(part.method, build("convnet", 16))
    start = start or Head.zeros(body_of("convnet", 16, theta0))
    data = tensors_of(part.distilled, part.method.sets, torch.device("cpu"))
    return train_head(start, data, part.method.trajectory)


def pooled_head(parts, scheme):
    (network,) = train_pooled(parts, PROTOCOL, scheme, 5, ensemble=3).ensemble
    return network


def test_average_of_heads_weights_them_and_leaves_the_body():
    first, second = of_head("a", 1, 15), of_head("b", 2, 10)
    ends = [head_end(first).network(), head_end(second).network()]
    mean = {name: 0.6 * ends[0][name] + 0.4 * ends[1][name] for name in ends[0]}
    assert close(pooled_head([second, first], "average"), mean)


def test_heads_in_sequence_go_from_one_hospital_to_the_next():
    first, second = of_head("a", 1), of_head("b", 2)
    expected = head_end(second, head_end(first)).network()
    assert close(pooled_head([second, first], "sequential"), expected)


def test_heads_in_step_take_the_weighted_mean_of_the_hospitals_own_steps():
    single = HEAD.model_copy(update={"steps": 1})
    first, second = of_head("a", 1, 15, single), of_head("b", 2, 10, single)
    assert close(pooled_head([first, second], "in-step"), pooled_head([first, second], "average"))
    longer = [of_head("a", 1), of_head("b", 2)]
    assert not close(pooled_head(longer, "in-step"), pooled_head(longer, "average"))
    alone = of_head("a", 1)
    assert close(pooled_head([alone], "in-step"), head_end(alone).network())


@pytest.mark.parametrize("network", ["convnet", "resnet18"])
def test_head_alone_starts_from_a_last_layer_of_zeros(network):
    """What θ0's own last layer held is no part of the update."""
    method = HEAD.model_copy(update={"network": network})
    theta0 = announced_theta0(method, build(network, 16))
    part = contribution("a", 1, method=method, theta0_sha256=digest(theta0))
    [alone] = train_alone(part, PROTOCOL, 5, 3)
    moved = {name for name in theta0 if not torch.equal(alone.start[name], alone.end[name])}
    assert len(moved) == 2
    assert not any(alone.start[name].any() for name in moved)
    assert all(torch.equal(alone.end[name], theta0[name]) for name in set(theta0) - moved)


def test_union_of_heads_fits_all_images_and_leaves_the_body():
    both = [of_head("a", 1), of_head("b", 2)]
    network = pooled_head(both, "union")
    start = announced_theta0(HEAD, build("convnet", 16))
    changed = {name for name in network if not torch.equal(network[name], start[name])}
    assert len(changed) == 2  # the last layer
    images = torch.from_numpy(np.concatenate([c.distilled.images for c in both]))
    before = functional.cross_entropy(
        forward(build("convnet", 16), start, images), torch.tensor([0, 1, 2] * 2)
    )
    after = functional.cross_entropy(
        forward(build("convnet", 16), network, images), torch.tensor([0, 1, 2] * 2)
    )
    assert after < before


def test_images_for_the_head_and_images_for_all_weights_are_not_pooled_together():
    start = announced_theta0(FIXED, build("convnet", 16))
    whole = contribution("b", 2, method=FIXED, theta0_sha256=digest(start))
    with pytest.raises(UsageError, match=r"expect different trained parts \(head, all\)"):
        train_pooled([of_head("a", 1), whole], PROTOCOL, "average", 5)


def test_union_of_many_images_is_trained_in_parts_of_one_mean(monkeypatch):
    """Memory is bounded by the part; the sums are added in another order, and nothing else."""
    parts = [contribution("north", 1), contribution("south", 2)]
    monkeypatch.setattr(pooling, "UNION_STEPS", 5)
    at_once = train_pooled(parts, PROTOCOL, "union", 5).ensemble[0]
    for size in (4, 3):  # one part smaller than the others, and not
        monkeypatch.setattr(pooling, "UNION_PART", size)
        in_parts = train_pooled(parts, PROTOCOL, "union", 5).ensemble[0]
        x = torch.from_numpy(parts[0].distilled.images)
        module, _ = theta0(5)
        expected, logits = (forward(module, theta, x) for theta in (at_once, in_parts))
        assert torch.allclose(logits, expected, atol=1e-3)


def test_a_thousand_bundles_start_from_one_theta0(monkeypatch):
    """It is drawn once, and no network keeps a copy."""
    drawn = []
    monkeypatch.setattr(pooling, "draw", lambda *words: drawn.append(1) or draw(*words))
    bundles = [contribution(f"site-{n}", n) for n in range(4)]
    for start in pooling.shared_starts(bundles[0], PROTOCOL, 5, 2):
        networks = [start.train(bundle) for bundle in bundles]
        assert all(network.start is start.theta0 for network in networks)
    assert len(drawn) == 2
    last = train_alone(bundles[3], PROTOCOL, 5, 2)[1]
    assert all(torch.equal(last.end[name], weight) for name, weight in networks[3].end.items())
