"""The permutation test, and what a hospital's counts still tell of its films' order."""

import numpy as np
import pytest

from aggregator.admission.utility import Ranking, ranking_of_counts, teaching
from gdshare.metrics import THRESHOLDS, auc, count


def ranking(shift: float, films: int, seed: int) -> Ranking:
    draws = np.random.default_rng(seed)
    positive = np.arange(films) % 2 == 0
    return Ranking(draws.normal(size=films) + shift * positive, positive)


def test_bundle_that_knows_nothing_passes_one_time_in_twenty() -> None:
    passed = sum(
        found.beats_chance
        for seed in range(200)
        if (found := teaching("reference patients", [ranking(0, 60, seed)], rng(seed)))
    )
    assert 2 <= passed <= 20


def test_auc_of_seven_tenths_passes_four_times_in_five() -> None:
    passed = sum(
        found.beats_chance
        for seed in range(100)
        if (found := teaching("reference patients", [ranking(0.7416, 52, seed)], rng(seed)))
    )
    assert 70 <= passed <= 95


def test_lesson_turned_round_does_not_beat_chance() -> None:
    found = teaching("reference patients", [ranking(-2, 60, 0)], rng(0))
    assert found is not None
    assert found.auc < 0.2
    assert found.p > 0.99


def test_hospitals_whose_films_look_different_are_compared_apart() -> None:
    dark, light = ranking(3, 40, 0), ranking(3, 40, 1)
    light = Ranking(light.values + 100, light.positive)
    found = teaching("validation films", [dark, light], rng(0))
    assert found is not None
    assert found.auc > 0.95
    assert (found.positives, found.negatives) == (40, 40)


def test_place_without_one_diagnosis_says_nothing() -> None:
    alike = Ranking(np.arange(5.0), np.ones(5, np.bool_))
    assert teaching("validation films", [alike], rng(0)) is None


def test_counts_rank_films_as_their_ratios_do_up_to_ties() -> None:
    draws = np.random.default_rng(3)
    positive = draws.random(50) < 0.4
    ratios = np.round(draws.random(50) * 20) / 20
    silent = draws.random(50) < 0.1
    counts = [count(ratios, silent, positive, threshold) for threshold in THRESHOLDS]
    found = ranking_of_counts(counts)
    assert (found.positive.sum(), len(found.positive)) == (positive.sum(), 50)
    expected = auc(np.where(silent, -1, ratios), positive)
    assert auc(found.values, found.positive) == pytest.approx(expected)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 7])
