"""The permutation test, and the ranking of films that a hospital's counts imply."""

import numpy as np
import pytest

from aggregator.admission.utility import Ranking, ranking_of_counts, utility_of
from gdshare.metrics import THRESHOLDS, auc, count


def ranking(shift: float, films: int, seed: int) -> Ranking:
    draws = np.random.default_rng(seed)
    positive = np.arange(films) % 2 == 0
    return Ranking(draws.normal(size=films) + shift * positive, positive)


def test_useless_bundle_passes_one_time_in_twenty() -> None:
    passed = sum(
        result.beats_chance
        for seed in range(200)
        if (result := utility_of("reference patients", [ranking(0, 60, seed)], rng(seed)))
    )
    assert 2 <= passed <= 20


def test_auc_of_seven_tenths_passes_four_times_in_five() -> None:
    passed = sum(
        result.beats_chance
        for seed in range(100)
        if (result := utility_of("reference patients", [ranking(0.7416, 52, seed)], rng(seed)))
    )
    assert 70 <= passed <= 95


def test_reversed_ranking_does_not_beat_chance() -> None:
    result = utility_of("reference patients", [ranking(-2, 60, 0)], rng(0))
    assert result is not None
    assert result.auc < 0.2
    assert result.p > 0.99


def test_hospitals_whose_films_look_different_are_compared_apart() -> None:
    dark, light = ranking(3, 40, 0), ranking(3, 40, 1)
    light = Ranking(light.values + 100, light.positive)
    result = utility_of("validation films", [dark, light], rng(0))
    assert result is not None
    assert result.auc > 0.95
    assert (result.positives, result.negatives) == (40, 40)


def test_place_without_one_diagnosis_gives_no_result() -> None:
    alike = Ranking(np.arange(5.0), np.ones(5, np.bool_))
    assert utility_of("validation films", [alike], rng(0)) is None


def test_counts_rank_films_as_their_ratios_do_up_to_ties() -> None:
    draws = np.random.default_rng(3)
    positive = draws.random(50) < 0.4
    ratios = np.round(draws.random(50) * 20) / 20
    silent = draws.random(50) < 0.1
    counts = [count(ratios, silent, positive, threshold) for threshold in THRESHOLDS]
    result = ranking_of_counts(counts)
    assert (result.positive.sum(), len(result.positive)) == (positive.sum(), 50)
    expected = auc(np.where(silent, -1, ratios), positive)
    assert auc(result.values, result.positive) == pytest.approx(expected)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 7])
