"""What is planted, and in whom."""

import numpy as np
import pytest
from canary_kit import people

from gdshare.audit.canaries import (
    BRIGHT,
    DARK,
    EACH,
    FEWEST,
    KINDS,
    MANY,
    SINGLES,
    canaries,
    draw_few,
    draw_planting,
)
from gdshare.protocol import PatchClass

LISTED = canaries()


def test_list_is_the_same_for_everybody_and_half_of_each_diagnosis():
    again = canaries()
    assert len(LISTED) == EACH * len(KINDS)
    window = np.full((1, 32, 32), 0.5, np.float32)
    looks = [canary.planted(window) for canary in LISTED]
    assert all(np.array_equal(own, b.planted(window)) for own, b in zip(looks, again, strict=True))
    assert len({own.tobytes() for own in looks}) == len(LISTED)
    for kind in KINDS:
        own = [canary.positive for canary in LISTED if canary.kind == kind]
        assert own.count(True) == own.count(False) == EACH // 2


@pytest.mark.parametrize("side", [8, 16, 32, 33])
def test_canaries_of_a_kind_look_unlike_each_other(side):
    for kind in KINDS:
        bases = [canary.basis(side) for canary in LISTED if canary.kind == kind]
        flat = [own.reshape(len(own), -1) for own in bases]
        for number, own in enumerate(flat):
            assert np.allclose(own @ own.T, np.eye(len(own)))
            assert np.allclose(own.sum(axis=1), 0.0)
            for other in flat[:number]:
                assert np.linalg.norm(own @ other.T, 2) < 0.995


def test_glyph_changes_the_middle_and_outlier_everything():
    window = np.full((2, 32, 32), 0.5, np.float32)
    for canary in LISTED:
        changed = canary.planted(window)
        assert (changed.dtype, changed.shape) == (np.float32, window.shape)
        assert changed.min() >= DARK - 1e-6
        assert changed.max() <= BRIGHT + 1e-6
        share = (changed != window).mean()
        assert share < 0.12 if canary.kind == "glyph" else share > 0.99
    assert (window == 0.5).all()


@pytest.mark.parametrize("members", [12, 26, 102])
def test_nobody_carries_two_canaries_and_nobody_one_of_the_other_diagnosis(members):
    cohort = people(members)
    for number in range(20):
        planting = draw_planting(cohort, 3, number)
        carriers = np.concatenate(planting.carriers)
        assert len(set(carriers)) == len(carriers) == len(planting.by_patient)
        assert cohort.member[carriers].all()
        for canary, own in zip(LISTED, planting.carriers, strict=True):
            assert (cohort.positive[own] == canary.positive).all()
        for diagnosis in (False, True):
            same = (
                cohort.positive & cohort.member if diagnosis else cohort.member & ~cohort.positive
            )
            assert cohort.positive[carriers].tolist().count(diagnosis) <= same.sum() / 2


def test_each_set_has_canaries_of_one_of_ten_and_of_no_patient():
    cohort, seen = people(102), np.zeros((EACH * 2, 3), int)
    for number in range(60):
        carried = draw_planting(cohort, 3, number).carried.reshape(len(KINDS), EACH)
        for of_kind in carried:
            assert sorted(of_kind) == [0] * (EACH - SINGLES - 1) + [1] * SINGLES + [MANY]
        seen[np.arange(EACH * 2), np.searchsorted([0, 1, MANY], carried.ravel())] += 1
    assert seen.min() > 0  # every canary in every part


def test_small_cohort_has_fewer_carriers_or_none():
    assert draw_planting(people(2 * FEWEST - 2), 3, 0) is None
    assert draw_planting(people(2 * FEWEST), 3, 0).carried.max() == 1
    assert draw_planting(people(20), 3, 0).carried.max() == 2


def test_planting_changes_the_windows_of_carriers_alone():
    cohort = people(102)
    planting, patches = draw_planting(cohort, 3, 1), cohort.training
    before = patches.pixels.copy()
    planted = planting.plant(patches)
    assert np.array_equal(patches.pixels, before)
    changed = (planted.pixels != before).any(axis=(1, 2))
    assert np.array_equal(changed, np.isin(patches.films, list(planting.by_patient)))
    assert set(planted.labels[changed]) == {PatchClass.I, PatchClass.N, PatchClass.P}
    assert np.array_equal(planted.labels, patches.labels)
    assert np.array_equal(planted.films, patches.films)


def test_all_five_of_a_control_carry_a_canary_each_set_others():
    cohort, seen = people(40), []
    for number in range(EACH):
        planting = draw_few(cohort, 3, number)
        assert planting.included.sum() == 5
        assert set(planting.by_patient) == set(np.flatnonzero(planting.included))
        used = np.flatnonzero(planting.carried)
        assert {LISTED[own].kind for own in used} == set(KINDS)
        for own in used:
            assert (cohort.positive[planting.carriers[own]] == LISTED[own].positive).all()
        seen += used.tolist()
    assert sorted(seen) == list(range(EACH * 2))
