from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import norm

from gdshare.exact_noise import rounded_gaussian


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
