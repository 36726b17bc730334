"""What a round makes of counts in which cells of a few films are suppressed."""

import numpy as np
import pytest

from aggregator.results import POOLED, chosen_epsilon, rows
from gdshare.messages import Counts
from gdshare.metrics import THRESHOLDS, Confusion, best_threshold, count
from gdshare.proportions import count_intervals
from gdshare.suppression import merged

K = 5


def counted(films: int, seed: int, k: int = K) -> Counts:
    """Validation counts of as many films of either diagnosis, best told apart at about 0.6."""
    random = np.random.default_rng(seed)
    positive = np.repeat([True, False], films)
    ratios = np.where(positive, random.beta(8, 3, 2 * films), random.beta(5, 6, 2 * films))
    silent = np.zeros(2 * films, np.bool_)
    exact = [count(ratios, silent, positive, threshold) for threshold in THRESHOLDS]
    return Counts([merged(confusion, k) for confusion in exact], k)


def test_epsilon_of_suppressed_counts_is_nearly_that_of_exact_ones() -> None:
    distances = []
    for seed in range(20):
        exact = best_threshold(counted(40, seed, k=1).confusions)
        chosen = chosen_epsilon([counted(40, seed)])
        assert chosen is not None
        distances.append(abs(chosen - exact))
    assert np.mean(distances) <= 0.05, "a step of ε, on average"


def test_sites_too_small_to_tell_anything_leave_the_choice_to_the_others() -> None:
    small, large = counted(4, 0), counted(40, 1)
    assert chosen_epsilon([small, large]) == chosen_epsilon([large])


def test_without_a_site_large_enough_there_is_no_choice() -> None:
    assert chosen_epsilon([counted(4, 0), counted(7, 1)]) is None


def test_interval_covers_whatever_the_counts_can_stand_for() -> None:
    [row, pooled] = rows({"north": Counts([merged(Confusion(18, 2, 13, 7), K)], K)}, 0)
    assert (row.name, pooled.name) == ("north", POOLED)
    assert (row.bounds.worst.tp, row.bounds.best.tp) == (16, 20)
    assert (row.bounds.worst.fp, row.bounds.best.fp) == (9, 5)
    assert row.bounds.middle.sensitivity == pytest.approx(18 / 20)
    for tp, fp in ((16, 9), (18, 7), (20, 5)):
        exact = count_intervals(Confusion(tp, 20 - tp, 20 - fp, fp), np.random.default_rng(1))
        assert row.intervals.sensitivity.low <= exact.sensitivity.low + 0.03
        assert row.intervals.sensitivity.high >= exact.sensitivity.high - 0.03
        assert row.intervals.harmonic_mean.low <= exact.harmonic_mean.low + 0.03
        assert row.intervals.harmonic_mean.high >= exact.harmonic_mean.high - 0.03


def test_what_is_known_of_two_sites_adds_up() -> None:
    one, other = Confusion(18, 2, 13, 7), Confusion(3, 1, 30, 4)
    answers = {"east": Counts([merged(one, K)], K), "west": Counts([merged(other, 1)], 1)}
    pooled = rows(answers, 0)[-1].bounds
    assert (pooled.worst.tp, pooled.best.tp) == (16 + 3, 20 + 3)
    assert (pooled.worst.fp, pooled.best.fp) == (9 + 4, 5 + 4)
    assert pooled.worst.films == pooled.best.films == one.films + other.films


def test_intervals_allow_for_noise() -> None:
    counts = Confusion(30, 10, 25, 15)
    exact, noisy = (
        rows({"north": Counts([counts], 1, noise)}, 0)[0].intervals.sensitivity
        for noise in (0.0, 4.0)
    )
    # A binomial of 40 at 0.75 has a deviation of 0.068; with 4 films of noise, 0.121.
    assert exact.high - exact.low == pytest.approx(2 * 1.96 * 0.068, rel=0.15)
    assert noisy.high - noisy.low == pytest.approx(2 * 1.96 * 0.121, rel=0.15)
