from itertools import pairwise

import pytest
import torch

from gdshare.distill.score import patch_score
from gdshare.distill.score_record import CHANCE
from gdshare.distill.unroll import InnerData
from gdshare.networks import build
from studies.quality import cross
from studies.quality.cross import Receiver, best_factor, crossed, trained_score
from studies.quality.plan import FULL, Crossing

CONVNET, RESNET18 = FULL.arms


@pytest.fixture(scope="module")
def receiver():
    return Receiver("convnet", build("convnet", 8), 3)


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(3, 1, 8, 8, generator=generator)
    return InnerData(images, torch.eye(3), torch.full((9,), 0.02))


def windows(seed):
    x = torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    return x, torch.arange(12) % 3


def test_the_best_factor_wins_and_among_equals_the_one_nearest_to_1():
    assert best_factor({0.1: 0.4, 1.0: 0.5, 10.0: 0.6}) == 10.0
    assert best_factor({0.1: 0.5, 0.3: 0.5, 1.0: 0.5, 3.0: 0.5}) == 1.0
    assert best_factor({0.1: 0.5, 0.3: 0.5, 1.0: 0.4}) == 0.3


def test_the_factor_is_chosen_on_validation_and_judged_on_test_windows(receiver, data, monkeypatch):
    val, test = windows(1), windows(2)
    seen = []

    def scored(module, theta0, given, steps, real):
        factor = float(given.rates[0] / data.rates[0])
        seen.append((factor, theta0["0.weight"], real is test, steps))
        return 0.9 if (real is test) == (factor > 1) else 0.6  # test windows would prefer another

    monkeypatch.setattr(cross, "trained_score", scored)
    found = crossed(RESNET18, data, receiver, Crossing((0.3, 1.0, 3.0), 2, 4), val, test)
    assert (found.giver, found.receiver) == ("resnet18", "convnet")
    assert found.factor == 1.0
    assert found.tried == pytest.approx({"0.3": 0.9, "1": 0.9, "3": 0.6})
    assert found.values == [0.6] * 4
    assert {steps for _, _, _, steps in seen} == {RESNET18.trajectory}
    judging = [theta0 for _, theta0, on_test, _ in seen if on_test]
    choosing = [theta0 for _, theta0, on_test, _ in seen if not on_test]
    assert (len(judging), len(choosing)) == (4, 6)
    # every factor is tried from the same θ0, and none of these is judged from
    assert all(torch.equal(choosing[n], choosing[n + 2]) for n in range(4))
    assert not any(torch.equal(one, other) for one in judging for other in choosing)
    assert not any(torch.equal(one, other) for one, other in pairwise(judging))


def test_at_factor_1_the_score_is_the_patch_score(receiver, data):
    val, test = windows(1), windows(2)
    found = crossed(CONVNET, data, receiver, Crossing((1.0,), 1, 3), val, test)
    inits = receiver.inits("judge", 3)
    assert found.values == list(patch_score(receiver.module, inits, data, 9, test).values)


def test_an_end_that_is_not_finite_counts_as_chance(receiver, data):
    (theta0,) = receiver.inits("judge", 1)
    wild = InnerData(data.images, data.labels, torch.full((9,), 1e30))
    assert trained_score(receiver.module, theta0, wild, 9, windows(1)) == CHANCE
