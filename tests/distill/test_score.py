import math

import pytest
import torch

from gdshare.distill.score import PatchScore, patch_score
from gdshare.distill.score_record import CHANCE
from gdshare.distill.unroll import InnerData, trajectory_end
from gdshare.networks import build, draw
from gdshare.patch_tensors import patch_accuracy


def test_interval_is_students_t_over_inits():
    assert PatchScore((0.4, 0.4, 0.4)).lower > CHANCE
    assert PatchScore((0.2, 0.6)).lower < CHANCE
    # Student's t for three values, 4.303: the normal 1.96 would be less than half as wide.
    assert PatchScore((0.4, 0.5, 0.6)).half_width == pytest.approx(4.303 * 0.1 / 3**0.5, rel=1e-3)


def test_interval_of_one_init_is_binomial_over_windows():
    assert PatchScore((0.5,), 100).deviation == 0
    assert PatchScore((0.5,), 100).half_width == pytest.approx(1.96 * 0.05)
    assert PatchScore((0.5,), 400).half_width == pytest.approx(1.96 * 0.025)
    assert PatchScore((0.5,), 100).lower > CHANCE
    assert PatchScore((0.5,), 20).lower < CHANCE


def test_one_init_on_an_unknown_number_of_windows_has_no_lower_bound():
    assert PatchScore((0.9,)).lower == -math.inf


def test_windows_do_not_narrow_the_interval_over_several_inits():
    values = 0.4, 0.5, 0.6
    assert PatchScore(values, 10**6).half_width == PatchScore(values).half_width


def test_patch_score_is_the_accuracy_at_the_end_of_each_trajectory():
    module = build("convnet", 8)
    draws = torch.Generator().manual_seed(0)
    inits = [draw("convnet", module, draws) for _ in range(2)]
    data = InnerData(torch.randn(3, 1, 8, 8, generator=draws), torch.eye(3), torch.tensor([0.2]))
    real = torch.randn(30, 1, 8, 8, generator=draws), torch.arange(30) % 3
    score = patch_score(module, inits, data, 4, real)
    ends = [trajectory_end(module, theta0, data, 4) for theta0 in inits]
    assert score.values == tuple(patch_accuracy(module, end, *real) for end in ends)
    assert len(set(score.values)) == 2
