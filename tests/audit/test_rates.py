"""The figures of a membership attack, their intervals, and what so few patients cannot show."""

import numpy as np
import pytest
from scipy.stats import beta

from gdshare.audit.rates import Guesses, separation, true_positives

DRAW = np.random.default_rng


def guesses(inside, outside, positive=None):
    scores = np.concatenate([inside, outside])
    member = np.arange(len(scores)) < len(inside)
    diagnosis = np.zeros(len(scores), bool) if positive is None else positive
    return Guesses(scores, member, np.arange(len(scores)), diagnosis)


def test_rate_below_one_of_the_others_is_not_resolvable():
    found = separation(guesses(np.ones(50), np.zeros(34)), DRAW(0))
    assert found.smallest == pytest.approx(1 / 34, abs=1e-6)
    assert [rate.text for rate in found.true_positives] == ["not resolvable"] * 2
    found = separation(guesses(np.ones(50), np.zeros(100)), DRAW(0))
    assert [rate.figure for rate in found.true_positives] == [1.0, None]


def test_interval_of_a_rate_is_clopper_and_pearsons():
    outside = np.arange(200.0)
    inside = np.concatenate([np.full(30, 500.0), np.zeros(70)])
    rate = true_positives(guesses(inside, outside), 0.01)
    assert rate.figure == 0.3
    assert rate.low == pytest.approx(beta.ppf(0.025, 30, 71), abs=1e-4)
    assert rate.high == pytest.approx(beta.ppf(0.975, 31, 70), abs=1e-4)


def test_threshold_keeps_to_the_share_of_false_positives():
    outside = DRAW(1).normal(size=1000)
    for at in (0.01, 0.001):
        threshold = np.sort(outside)[::-1][int(at * 1000)]
        rate = true_positives(guesses(outside, outside), at)
        assert rate.figure == round(float((outside > threshold).mean()), 4)
        assert rate.figure <= at


def test_equal_scores_are_half_right():
    assert separation(guesses(np.ones(8), np.ones(8)), DRAW(0)).auc == 0.5


def test_members_are_compared_with_others_of_their_diagnosis():
    positive = np.array([True] * 20 + [False] * 5 + [True] * 5 + [False] * 20)
    scores = DRAW(2).normal(size=50) - 9.0 * positive
    found = separation(guesses(scores[:25], scores[25:], positive), DRAW(0))
    assert found.low < 0.5 < found.high


def test_interval_is_over_patients_and_not_over_their_patches():
    draw = DRAW(3)
    hardness = draw.normal(size=40)
    patient = np.repeat(np.arange(40), 25)
    scores, member = hardness[patient] + 0.01 * draw.normal(size=1000), patient < 20
    by_patch = separation(Guesses(scores, member, patient, np.zeros(1000, bool)), draw)
    by_patient = separation(guesses(hardness[:20], hardness[20:]), draw)
    width = by_patient.high - by_patient.low
    assert by_patch.high - by_patch.low == pytest.approx(width, rel=0.25)


def test_interval_covers_chance_as_often_as_it_claims():
    draw = DRAW(4)
    found = [separation(guesses(draw.normal(size=30), draw.normal(size=20)), draw)
             for _ in range(60)]  # fmt: skip
    assert sum(own.low <= 0.5 <= own.high for own in found) >= 52
