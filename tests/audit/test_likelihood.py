"""The likelihood-ratio attack finds members by what shadows with and without them say."""

import numpy as np
import pytest

from gdshare.audit.likelihood import Shadows, each_left_out, log_ratios
from gdshare.audit.rates import Guesses, separation

PATIENTS = 60
POSITIVE = np.arange(PATIENTS) % 2 == 0


def world(shift, shadows=24, seed=0, share=0.5, statistics=1):
    """Patients of very different hardness, of whom members are a little easier."""
    draw = np.random.default_rng(seed)
    base = draw.normal(0, 5, PATIENTS)
    included = draw.random((shadows + 1, PATIENTS)) < share
    chance = draw.normal(0, 1, (statistics, shadows + 1, PATIENTS))
    values = base + shift * included + chance
    return Shadows(values[:, :-1], included[:-1], POSITIVE), values[:, -1], included[-1]


def auc(scores, member):
    guesses = Guesses(scores, member, np.arange(PATIENTS), POSITIVE)
    return separation(guesses, np.random.default_rng(0))


def test_members_are_found_that_their_loss_alone_hides():
    shadows, observed, member = world(shift=3.0)
    assert auc(log_ratios(shadows, observed), member).low > 0.8
    assert auc(observed[0], member).low < 0.5  # hardness differs far more


def test_images_that_have_nothing_to_do_with_the_patients_give_chance():
    covered = 0
    for seed in range(40):
        shadows, observed, member = world(shift=2.0, seed=seed)
        unrelated = np.random.default_rng(1000 + seed).permutation(member)
        found = auc(log_ratios(shadows, observed - 2.0 * member), unrelated)
        covered += found.low <= 0.5 <= found.high
    assert covered >= 34


def test_statistics_that_do_not_depend_on_membership_give_chance():
    shadows, observed, member = world(shift=0.0)
    found = auc(log_ratios(shadows, observed), member)
    assert found.low < 0.5 < found.high


def test_two_independent_statistics_say_more_than_one():
    shadows, observed, member = world(shift=1.5, statistics=4)
    one = Shadows(shadows.values[:1], shadows.included, POSITIVE)
    alone = auc(log_ratios(one, observed[:1]), member)
    assert auc(log_ratios(shadows, observed), member).auc > alone.auc


def test_a_statistic_and_its_copy_say_as_much_as_the_statistic():
    shadows, observed, member = world(shift=1.5)
    twice = Shadows(np.repeat(shadows.values, 2, 0), shadows.included, POSITIVE)
    alone = auc(log_ratios(shadows, observed), member).auc
    assert auc(log_ratios(twice, np.repeat(observed, 2, 0)), member).auc == pytest.approx(alone)


def test_patients_who_are_in_no_shadow_are_found_offline():
    shadows, observed, member = world(shift=3.0, share=0.5)
    nobody = np.zeros_like(shadows.included)
    offline = Shadows(shadows.values - 3.0 * shadows.included, nobody, POSITIVE)
    assert not offline.is_online
    assert shadows.is_online
    assert auc(log_ratios(offline, observed), member).low > 0.8


def test_patient_who_is_in_every_shadow_is_judged_by_everybodys_shift():
    shadows, observed, member = world(shift=3.0)
    included = shadows.included.copy()
    included[:, 7] = True
    values = shadows.values.copy()
    values[:, :, 7] = np.where(shadows.included[:, 7], values[:, :, 7], values[:, :, 7] + 3.0)
    always = Shadows(values, included, POSITIVE)
    assert always.is_online
    scores = log_ratios(always, observed)
    assert np.isfinite(scores).all()
    assert np.corrcoef(scores, log_ratios(shadows, observed))[0, 1] > 0.95
    assert (scores[7] > 0) == member[7]


def test_every_shadow_is_attacked_without_its_own_help():
    shadows, _, _ = world(shift=2.0, shadows=6)
    scores = each_left_out(shadows)
    for s in range(6):
        others = np.delete(np.arange(6), s)
        np.testing.assert_allclose(scores[s], log_ratios(shadows.of(others), shadows.values[:, s]))


def test_a_distillation_that_fits_everybody_better_accuses_nobody():
    shadows, observed, _ = world(shift=2.0)
    np.testing.assert_allclose(
        log_ratios(shadows, observed), log_ratios(shadows, observed + 100.0), atol=1e-6
    )
