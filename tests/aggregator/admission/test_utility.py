"""The permutation test, and the ranking of films that a hospital's counts imply."""

import numpy as np
import pytest

from aggregator.admission import utility
from aggregator.admission.utility import (
    MOST_SHUFFLED,
    Ranking,
    ranking_of_answer,
    ranking_of_counts,
    utility_of,
)
from gdshare.messages import Counts
from gdshare.metrics import THRESHOLDS, Confusion, auc, count
from gdshare.suppression import merged


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


def test_many_films_are_shuffled_in_blocks_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw = np.random.default_rng(1)
    place = Ranking(draw.normal(size=80), np.arange(80) % 2 == 0)
    at_once = utility_of("validation films", [place], np.random.default_rng(2))
    monkeypatch.setattr("aggregator.admission.utility.BLOCK", 80 * 100)
    assert utility_of("validation films", [place], np.random.default_rng(2)) == at_once


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


def suppressed(shift: float, films: int, seed: int) -> Ranking | None:
    """A hospital's films as its suppressed counts rank them."""
    draws = np.random.default_rng([seed, 3])
    positive = np.arange(2 * films) % 2 == 0
    ratios = 1 / (1 + np.exp(-draws.normal(size=2 * films) - shift * positive))
    silent = np.zeros(2 * films, np.bool_)
    counts = [count(ratios, silent, positive, threshold) for threshold in THRESHOLDS]
    return ranking_of_answer(Counts([merged(exact, 5) for exact in counts], 5))


@pytest.mark.parametrize(("shift", "least", "most"), [(0.0, 1, 12), (1.0, 85, 100)])
def test_suppressed_counts_pass_the_useless_seldom_and_the_useful_mostly(
    shift: float, least: int, most: int
) -> None:
    passed = 0
    for seed in range(100):
        place = suppressed(shift, 30, seed)
        assert place is not None
        result = utility_of("validation films", [place], rng(seed))
        assert result is not None
        passed += result.beats_chance
    assert least <= passed <= most


def test_hospital_of_too_few_films_ranks_none() -> None:
    assert suppressed(3.0, 9, 0) is None
    assert suppressed(3.0, 10, 0) is not None


def test_counts_with_noise_rank_none() -> None:
    assert ranking_of_answer(Counts([Confusion(20, 10, 20, 10)], 1, 1.0)) is None


def test_shuffles_and_the_normal_curve_agree_where_one_takes_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At ``MOST_SHUFFLED`` films, of one place or ten, with ties and without, useless to good."""
    differences = []
    for seed in range(40):
        places = (1, 3, 10)[seed % 3]
        parts = [
            ranking((0, 0.15, 0.3)[seed % 2], MOST_SHUFFLED // places, n) for n in range(places)
        ]
        if seed % 4 < 2:
            parts = [Ranking(np.round(part.values), part.positive) for part in parts]
        monkeypatch.setattr(utility, "MOST_SHUFFLED", 300)
        drawn = utility_of("validation films", parts, rng(seed))
        monkeypatch.setattr(utility, "MOST_SHUFFLED", 0)
        expected = utility_of("validation films", parts, rng(seed))
        assert drawn is not None
        assert expected is not None
        assert drawn.auc == expected.auc
        differences.append(abs(drawn.p - expected.p))
    assert 0 < max(differences) < 0.025  # of 9,999 shuffles: 0.005 is one standard deviation
    assert np.mean(differences) < 0.006


def test_many_films_of_one_rank_beat_nothing() -> None:
    still = Ranking(np.zeros(400), np.arange(400) % 2 == 0)
    result = utility_of("validation films", [still], rng(0))
    assert result is not None
    assert (result.auc, result.p) == (0.5, 1.0)


def test_useless_bundle_passes_one_time_in_twenty_with_many_films_too() -> None:
    passed = sum(
        result.beats_chance
        for seed in range(400)
        if (result := utility_of("validation films", [ranking(0, 400, seed)], rng(seed)))
    )
    assert 8 <= passed <= 34
