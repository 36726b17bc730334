"""Noise on counts: its distribution, its price, and that noisy counts are still counts of films."""

from fractions import Fraction
from itertools import pairwise
from math import sqrt

import numpy as np
import pytest

from gdshare.messages import Counts, counts_from_fields, counts_to_fields
from gdshare.metrics import THRESHOLDS, Confusion, count
from gdshare.suppression import merged
from hospital_node import noise


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 8.0])
def test_an_answer_spends_the_epsilon_that_was_set(epsilon: float) -> None:
    spent = noise.epsilon_of([float(noise.variance_for(epsilon))])
    assert spent <= epsilon
    assert spent == pytest.approx(epsilon, rel=2e-2)


def test_many_answers_cost_less_than_the_sum_of_each() -> None:
    variance = float(noise.variance_for(0.5))
    assert 0.5 * sqrt(100) < noise.epsilon_of([variance] * 100) < 50


def films(number: int) -> list[Confusion]:
    """Counts of as many films at every threshold."""
    random = np.random.default_rng(0)
    ratios, positive, silent = (random.random(number) for _ in range(3))
    return [count(ratios, silent < 0.1, positive < 0.5, threshold) for threshold in THRESHOLDS]


@pytest.mark.parametrize("k", [1, 5])
def test_noisy_counts_are_read_as_counts_of_the_same_films(k: int) -> None:
    exact = films(60)
    for _ in range(20):
        sent = [merged(counts, k) for counts in noise.noisy(exact, Fraction(9))]
        received = counts_from_fields(counts_to_fields(Counts(sent, k)), len(THRESHOLDS))
        assert received.confusions[0].films == exact[0].films
        assert all(later.tp <= earlier.tp for earlier, later in pairwise(sent))


def test_noise_on_a_count_is_as_large_as_is_told() -> None:
    exact, middle = films(4000), len(THRESHOLDS) // 2
    errors = [noise.noisy(exact, Fraction(16))[middle].tp - exact[middle].tp for _ in range(400)]
    told = noise.deviation(len(THRESHOLDS), Fraction(16))
    assert 0.8 * told < float(np.std(errors)) < 1.15 * told
    assert abs(float(np.mean(errors))) < told / 4
