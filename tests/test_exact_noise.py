from fractions import Fraction
from math import exp, sqrt

import numpy as np
import pytest
from scipy.stats import norm

from gdshare.exact_noise import discrete_gaussian, discrete_laplace, rounded_gaussian


@pytest.mark.parametrize("variance", [Fraction(1, 4), Fraction(9), Fraction(10**12)])
def test_rounded_gaussian_has_the_probabilities_of_a_normal_number_that_is_rounded(variance):
    runs, deviation = 3000, float(variance) ** 0.5
    edges = np.array([-1.5, -0.5, 0.5, 1.5]) * max(1.0, round(deviation))
    edges = np.floor(edges) + 0.5  # between whole numbers
    samples = [rounded_gaussian(variance) for _ in range(runs)]
    found = np.searchsorted(edges, samples)
    shares = np.diff(norm.cdf(edges / deviation), prepend=0.0, append=1.0)
    counts = np.bincount(found, minlength=len(shares))
    spread = np.sqrt(runs * shares * (1 - shares))
    assert (np.abs(counts - runs * shares) <= 5 * spread + 1e-9).all()


def test_noise_does_not_follow_any_seed():
    def draw():
        np.random.seed(0)
        import random

        random.seed(0)
        return [rounded_gaussian(Fraction(10**12)) for _ in range(4)]

    assert draw() != draw()


@pytest.mark.parametrize("variance", [Fraction(1, 4), Fraction(2), Fraction(50)])
def test_samples_follow_the_discrete_gaussian(variance: Fraction) -> None:
    drawn = np.array([discrete_gaussian(variance) for _ in range(4000)])
    support = np.arange(-60, 61)
    weights = np.exp(-(support**2) / (2 * float(variance)))
    expected = weights / weights.sum()
    for n in range(-3, 4):
        share, truth = float((drawn == n).mean()), float(expected[n + 60])
        assert share == pytest.approx(truth, abs=5 * sqrt(truth * (1 - truth) / 4000) + 1e-9)
    assert abs(drawn.mean()) < 5 * sqrt(float(variance) / 4000)


def test_samples_follow_the_discrete_laplace() -> None:
    drawn = np.array([discrete_laplace(3) for _ in range(4000)])
    ratio = exp(-1 / 3)
    for n in range(3):
        truth = (1 - ratio) / (1 + ratio) * ratio**n
        bound = 5 * sqrt(truth * (1 - truth) / 4000)
        assert float((drawn == n).mean()) == pytest.approx(truth, abs=bound)
        assert float((drawn == -n).mean()) == pytest.approx(truth, abs=bound)
