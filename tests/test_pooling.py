import dataclasses

import numpy as np
import pytest
import torch
from film_kit import PROTOCOL
from torch.nn import functional

from gdshare.distill.settings import Method
from gdshare.distill.synthetic import Distilled
from gdshare.distill.unroll import trajectory_end
from gdshare.draws import torch_generator
from gdshare.errors import UsageError
from gdshare.networks import build, draw, forward
from gdshare.pooling import SCHEMES, Contribution, capped_weights, train_pooled

METHOD = Method(network="convnet", epochs=2, steps=2)


def contribution(site, seed, patients=10, method=METHOD, initialiser="torch-default/1"):
    draws = np.random.default_rng(seed)
    distilled = Distilled(
        draws.normal(size=(3, 1, 16, 16)).astype(np.float32),
        np.eye(3, dtype=np.float32),
        np.full(method.trajectory, 0.02, np.float32),
    )
    return Contribution(site, distilled, method, initialiser, patients)


def theta0(seed):
    module = build("convnet", 16)
    return module, draw("convnet", module, torch_generator(seed, "pooled-theta0"))


def end_of(one, theta):
    tensors = (
        torch.from_numpy(getattr(one.distilled, n)) for n in ("images", "labels", "learning_rates")
    )
    return trajectory_end(build("convnet", 16), theta, *tensors, one.method.trajectory)


def close(a, b):
    return all(torch.allclose(a[name], b[name], atol=1e-6) for name in a)


def test_one_bundle_in_step_is_its_own_trajectory():
    one = contribution("a", 1)
    _, start = theta0(5)
    model = train_pooled([one], PROTOCOL, "in-step", 5)
    assert close(model.parameters, end_of(one, start))


def test_sequential_goes_from_one_hospital_to_the_next_by_name():
    one, two = contribution("a", 1), contribution("b", 2)
    _, start = theta0(5)
    expected = end_of(two, end_of(one, start))
    assert close(train_pooled([two, one], PROTOCOL, "sequential", 5).parameters, expected)


def test_in_step_takes_the_weighted_mean_of_the_hospitals_own_steps():
    method = METHOD.model_copy(update={"epochs": 1, "steps": 1})
    one, two = contribution("a", 1, 15, method), contribution("b", 2, 10, method)
    _, start = theta0(5)
    ends = [end_of(one, start), end_of(two, start)]
    mean = {name: 0.6 * ends[0][name] + 0.4 * ends[1][name] for name in start}
    assert close(train_pooled([one, two], PROTOCOL, "in-step", 5).parameters, mean)


def test_union_fits_all_images_together():
    both = [contribution("a", 1), contribution("b", 2)]
    model = train_pooled(both, PROTOCOL, "union", 5)
    images = torch.from_numpy(np.concatenate([c.distilled.images for c in both]))
    logits = forward(build("convnet", 16), model.parameters, images)
    assert functional.cross_entropy(logits, torch.tensor([0, 1, 2] * 2)) < 0.5


@pytest.mark.parametrize("scheme", SCHEMES)
def test_pooling_is_a_function_of_the_set_of_bundles_and_the_seed(scheme):
    both = [contribution("a", 1), contribution("b", 2)]
    first = train_pooled(both, PROTOCOL, scheme, 0).parameters
    torch.manual_seed(7)
    again = train_pooled(both[::-1], PROTOCOL, scheme, 0).parameters
    other = train_pooled(both, PROTOCOL, scheme, 1).parameters
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not close(first, other)
    assert all(bool(t.isfinite().all()) and not t.requires_grad for t in first.values())


def test_boasting_about_patients_buys_at_most_twice_the_median():
    honest = capped_weights([100, 100, 100])
    assert honest == pytest.approx([1 / 3] * 3)
    boasting = capped_weights([10**9, 100, 100])
    assert boasting == pytest.approx([0.5, 0.25, 0.25])
    assert capped_weights([100, 10**9]) == pytest.approx([1 / 3, 2 / 3])
    assert capped_weights([0, 0]) == [0.5, 0.5]


@pytest.mark.parametrize("scheme", ["in-step", "sequential"])
def test_bundle_that_blows_up_is_named_not_trained_into_a_model(scheme):
    one, two = contribution("a", 1), contribution("wild", 2)
    rates = np.full(METHOD.trajectory, 1e30, np.float32)
    wild = dataclasses.replace(
        two, distilled=dataclasses.replace(two.distilled, learning_rates=rates)
    )
    with pytest.raises(UsageError, match="bundles of wild leaves the range"):
        train_pooled([one, wild], PROTOCOL, scheme, 0)


def test_bundles_that_do_not_fit_are_told_apart():
    one = contribution("a", 1)
    longer = contribution("b", 2, method=METHOD.model_copy(update={"epochs": 3}))
    with pytest.raises(UsageError, match="a and b were distilled for 4 and 6 steps"):
        train_pooled([one, longer], PROTOCOL, "in-step", 0)
    assert train_pooled([one, longer], PROTOCOL, "sequential", 0)
    other = contribution("b", 2, initialiser="torch-default/2")
    with pytest.raises(UsageError, match="different initialisers"):
        train_pooled([one, other], PROTOCOL, "union", 0)
    with pytest.raises(UsageError, match="no bundle"):
        train_pooled([], PROTOCOL, "in-step", 0)
