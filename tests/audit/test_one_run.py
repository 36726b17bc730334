"""The lower bound on ε holds for mechanisms whose ε is known."""

from math import log

import numpy as np
import pytest

from gdshare.audit.candidates import Candidates
from gdshare.audit.membership_lira import fair_coins
from gdshare.audit.one_run import MOST, epsilon_bound, guess
from gdshare.audit.shadows import Workshop
from gdshare.cohort import Patches


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


def few_with_the_finding(carriers):
    """Thirty patients with windows of classes I and N, of whom some have windows of class P."""
    every, some = np.arange(30), np.arange(carriers)
    films = np.concatenate([every, every, some]).astype(np.uint32)
    labels = np.repeat(np.array([0, 1, 2], np.uint8), [30, 30, carriers])
    patches = Patches(np.zeros((len(films), 8, 8), np.uint16), labels, films)
    positive = np.arange(30) < carriers
    return Candidates(np.arange(30) % 2 == 0, positive, patches, patches)


def test_coins_that_are_not_fair_are_not_guessed_about():
    """The only patient with a class is in every shadow: to guess so is no feat."""
    people = few_with_the_finding(1)
    workshop = Workshop(people, None, None, None, b"", 7)
    assert all(workshop.coins(number)[0] for number in range(20))
    assert not fair_coins(people)[0]
    assert fair_coins(people)[1:].all()
    assert fair_coins(few_with_the_finding(10)).all()
