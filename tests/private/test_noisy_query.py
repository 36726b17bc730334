from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gdshare.private.query import GRID, Query, clipped, in_units, noisy_sum
from gdshare.private.statistic import (
    PatientMeans,
    Shape,
    Statistic,
    coarse_vector,
    estimate,
    fine_vector,
    shrunk,
)

ANY = st.floats(width=64, allow_nan=True, allow_infinity=True)
VECTORS = arrays(np.float64, st.integers(1, 12), elements=ANY)
BOUNDS = st.floats(1e-3, 1e3)
SILENT = 0.0


@given(VECTORS, BOUNDS)
def test_no_patient_moves_a_sum_by_more_than_the_bound(vector, bound):
    query = Query(bound, SILENT)
    steps = [int(step) for step in clipped(vector, query)]
    assert sum(step * step for step in steps) <= query.steps**2
    assert query.steps <= bound * GRID


@given(
    st.lists(arrays(np.float64, 3, elements=ANY), max_size=6), arrays(np.float64, 3, elements=ANY)
)
def test_a_patient_more_changes_the_sum_by_that_patients_vector_alone(others, vector):
    query = Query(2.0, SILENT)
    before = np.array(noisy_sum(others, query, 3, lambda _: 0))
    after = np.array(noisy_sum([*others, vector], query, 3, lambda _: 0))
    assert (after - before == clipped(vector, query)).all()


@given(arrays(np.float64, 4, elements=st.floats(-1e3, 1e3)))
def test_a_vector_within_the_bound_is_only_rounded(vector):
    query = Query(2e3 + 1, SILENT)
    assert np.abs(in_units(clipped(vector, query)) - vector).max() < 1.5 / GRID


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_what_is_not_finite_counts_as_nothing(value):
    assert (clipped(np.array([value, 1.0]), Query(5.0, SILENT)) == [0, GRID]).all()


@given(
    arrays(np.float64, 2, elements=st.floats(-1e6, 1e6)),
    arrays(np.float64, 2, elements=st.floats(-1e6, 1e6)),
    st.booleans(),
)
def test_a_patients_vectors_are_no_longer_than_the_queries_say(irrelevant, organ, positive):
    shape = Shape(dimension=2)
    patient = PatientMeans(irrelevant, organ, positive)
    coarse, fine = shape.queries((1.0, 1.0))
    centres = np.zeros((2, 2))
    assert np.linalg.norm(coarse_vector(patient, centres, shape)) <= coarse.bound + 1e-9
    assert np.linalg.norm(fine_vector(patient, centres[1], shape)) <= fine.bound + 1e-9


def test_without_noise_the_estimate_is_the_patients_means():
    shape, centres = Shape(dimension=2, fewest=1), np.array([[1.0, 0.0], [0.0, 1.0]])
    patients = [
        PatientMeans(np.array([1.5, 0.5]), np.array([0.5, 1.0]), positive=False),
        PatientMeans(np.array([2.5, 0.5]), np.array([0.0, 2.0]), positive=True),
        PatientMeans(None, np.array([0.0, 3.0]), positive=True),
    ]
    from gdshare.private.statistic import ask

    learned = estimate(
        ask(patients, centres, shape, (0.0, 0.0), lambda _: 0), centres, shape, (0.0, 0.0)
    )
    assert np.allclose(learned.means, [[2.0, 0.5], [0.5, 1.0], [0.0, 2.5]], atol=1e-4)
    assert (learned.irrelevant, learned.negative, learned.positive) == (2, 1, 2)


def test_counts_that_noise_made_negative_are_none_and_divide_nothing():
    shape, centres = Shape(dimension=1), np.zeros((2, 1))
    below = (0, 0, -50 * GRID, -50 * GRID)
    learned = estimate(Statistic(below, below), centres, shape, (1.0, 1.0))
    assert (learned.irrelevant, learned.negative, learned.positive) == (0, 0, 0)
    assert np.isfinite(learned.means).all()


def test_noise_is_shrunk_away_and_a_signal_stays():
    generator = np.random.default_rng(0)
    noise = generator.normal(size=64)
    assert np.linalg.norm(shrunk(noise, 1.0)) < np.linalg.norm(noise) / 2
    signal = np.full(64, 10.0)
    assert np.linalg.norm(shrunk(signal + noise, 1.0) - signal) < np.linalg.norm(noise) * 1.1
    assert (shrunk(signal, 0.0) == signal).all()
    assert (shrunk(np.zeros(3), 1.0) == 0).all()
