"""The lower bound on ε holds for mechanisms whose ε is known."""

from math import log

import numpy as np
import pytest

from gdshare.audit.one_run import MOST, epsilon_bound, guess


def randomised_response(epsilon, patients, generator):
    """Publishes each patient's coin, rightly with probability e^ε / (1 + e^ε): scores and coins."""
    coins = generator.random(patients) < 0.5
    right = generator.random(patients) < 1 / (1 + np.exp(-epsilon))
    return np.where(right, coins, ~coins) + generator.uniform(0, 0.1, patients), coins


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 1.0, 3.0])
def test_bound_is_above_the_true_epsilon_no_more_often_than_it_says(epsilon):
    generator = np.random.default_rng(7)
    above = 0
    for _ in range(400):
        scores, coins = randomised_response(epsilon, 120, generator)
        above += epsilon_bound(40, guess(scores, coins, 20)) > epsilon
    assert above <= 0.05 * 400 + 3 * np.sqrt(400 * 0.05 * 0.95)


def test_bound_comes_near_the_true_epsilon_with_many_guesses():
    scores, coins = randomised_response(2.0, 4000, np.random.default_rng(1))
    assert 1.7 < epsilon_bound(2000, guess(scores, coins, 1000)) < 2.0


def test_as_many_right_guesses_as_chance_show_nothing():
    assert epsilon_bound(100, 50) == 0.0
    assert epsilon_bound(100, 57) == 0.0
    assert epsilon_bound(100, 65) > 0.0


def test_all_right_show_as_much_as_their_number_can():
    assert epsilon_bound(10, 10) == pytest.approx(log(0.05**0.1 / (1 - 0.05**0.1)))
    assert epsilon_bound(10**12, 10**12) == MOST
