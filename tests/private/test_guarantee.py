"""The guarantee, attacked by two data sets that differ by a patient; broken ones are caught."""

from math import log2

import numpy as np
import pytest
from neighbours_kit import empirical_epsilon, exact_epsilon

from gdshare.exact_noise import rounded_gaussian
from gdshare.private.query import Query, noisy_sum
from gdshare.private.statistic import (
    PatientMeans,
    Shape,
    Statistic,
    ask,
    coarse_vector,
    fine_vector,
)

DELTA = 0.1
"""The guarantee holds at every δ. At a small one a thousand runs would catch nothing: tails of so
little weight are not seen in them.
"""
MULTIPLIERS = (2**0.5, 2**0.5)  # together as much as one query of multiplier 1
EPSILON = exact_epsilon(1.0, DELTA)
SHAPE = Shape(dimension=1, coarse_radius=8.0, fine_radius=2.5, coarse_weight=2.0, coarse_share=0.5)
CENTRES = np.zeros((2, 1))
RUNS = 1000
PATIENTS = [
    PatientMeans(np.array([0.3]), np.array([0.1]), positive=number % 2 == 1) for number in range(4)
]
OUTLIER = PatientMeans(np.array([900.0]), np.array([900.0]), positive=True)
"""The patient who is added: as far out as can be, so that the bound is met."""


def answers(patients, release):
    """Runs of a mechanism -> how much each answer looks as if the outlier were in it."""

    def scores(runs):
        return np.array([likeness(release(patients)) for _ in range(runs)])

    return scores


def likeness(statistic):
    """The likelihood ratio's exponent: nobody can tell the data sets apart better."""
    coarse, fine = SHAPE.queries(MULTIPLIERS)
    wide = coarse_vector(OUTLIER, CENTRES, SHAPE)
    narrow = fine_vector(OUTLIER, CENTRES[1], SHAPE)
    return float(
        wide @ statistic.coarse / coarse.variance + narrow @ statistic.fine / fine.variance
    )


def as_stated(patients):
    return ask(patients, CENTRES, SHAPE, MULTIPLIERS, rounded_gaussian)


def with_half_the_noise(patients):
    halves = [multiplier / 2 for multiplier in MULTIPLIERS]
    return ask(patients, CENTRES, SHAPE, halves, rounded_gaussian)


def clipped_by_patch(patients):
    """As stated, but each of a patient's three patches is clipped, and not their mean."""
    wide = [coarse_vector(patient, CENTRES, SHAPE) for patient in patients]
    narrow = [fine_vector(patient, CENTRES[1], SHAPE) for patient in patients]
    coarse, fine = SHAPE.queries(MULTIPLIERS)
    return Statistic(
        noisy_sum([own for own in wide for _ in range(3)], coarse, SHAPE.size, rounded_gaussian),
        noisy_sum([own for own in narrow for _ in range(3)], fine, SHAPE.size, rounded_gaussian),
    )


def measured(release):
    more = [*PATIENTS, OUTLIER]
    return empirical_epsilon(answers(more, release), answers(PATIENTS, release), RUNS, DELTA)


def test_neighbours_are_told_apart_no_better_than_stated():
    assert 0.1 < measured(as_stated) <= EPSILON


def test_the_attack_catches_noise_that_was_halved():
    assert measured(with_half_the_noise) > EPSILON


def test_the_attack_catches_clipping_by_patch():
    assert measured(clipped_by_patch) > EPSILON


def test_one_query_at_a_larger_epsilon_is_within_it_too():
    query, size = Query(1.0, 0.75), 3

    def runs(vectors):
        def scores(count):
            return np.array(
                [noisy_sum(vectors, query, size, rounded_gaussian)[0] for _ in range(count)]
            )

        return scores

    found = empirical_epsilon(runs([np.array([9.0, 0, 0])]), runs([]), RUNS, DELTA)
    assert 0.5 < found <= exact_epsilon(0.75, DELTA)


@pytest.mark.parametrize("patients", [[], [OUTLIER], [PatientMeans(None, None, positive=False)]])
def test_any_number_of_patients_gives_an_answer(patients):
    statistic = as_stated(patients)
    assert len(statistic.coarse) == len(statistic.fine) == SHAPE.size
    assert max(map(abs, statistic.coarse)) < 2 ** (20 + log2(200))
