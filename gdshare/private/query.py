"""A Gaussian query in whole numbers: a vector for each patient, clipped, summed, with noise.

Everything is pure but the noise, which is passed in. A patient's vector is brought onto a grid by
rounding towards zero, which makes no coordinate longer; so the sum's sensitivity, when a patient is
added or removed, is the bound itself, and the grid costs nothing. Shapes::

    n  patients
    d  coordinates
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, isqrt

import numpy as np
import numpy.typing as npt

GRID = 1 << 20
"""Steps of the grid in a unit."""

Noise = Callable[[Fraction], int]
"""A sample of a variance, in squared steps: ``gdshare.exact_noise.rounded_gaussian``."""


@dataclass(frozen=True)
class Query:
    """What decides a query's noise.

    Attributes:
        bound: of a patient's vector in L2, above 0; the sensitivity.
        multiplier: the noise's deviation over the sensitivity; 0 only where nothing is promised.
    """

    bound: float
    multiplier: float

    @property
    def steps(self) -> int:
        """The bound in steps of the grid, rounded down."""
        return floor(Fraction(self.bound) * GRID)

    @property
    def deviation(self) -> float:
        """Of the noise on a coordinate, in the vectors' own units."""
        return self.multiplier * self.bound

    @property
    def variance(self) -> Fraction:
        """Of the noise on a coordinate, in squared steps, rounded up to a whole number."""
        return Fraction(ceil((Fraction(self.multiplier) * self.steps) ** 2))


def clipped(vector: npt.NDArray[np.float64], query: Query) -> npt.NDArray[np.int64]:
    """A patient's vector within the bound, on the grid.

    Args:
        vector: float64 [d]. What is not finite counts as 0.
        query: has the bound.

    Returns:
        int64 [d], in steps, whose squares sum to at most ``query.steps`` squared.
    """
    finite = np.nan_to_num(vector, nan=0.0, posinf=0.0, neginf=0.0)
    largest = float(np.abs(finite).max(initial=0.0))
    if largest == 0.0:
        return np.zeros(len(vector), np.int64)
    direction = finite / largest  # no square overflows
    length = float(np.sqrt(np.square(direction).sum()))
    scale = min(largest, query.bound / length)
    steps = [int(value) for value in direction * scale * GRID]  # towards zero
    excess = sum(step * step for step in steps) - query.steps**2
    if excess > 0:  # by the rounding of the products above
        norm = isqrt(sum(step * step for step in steps)) + 1
        steps = [_towards_zero(step * query.steps, norm) for step in steps]
    return np.array(steps, np.int64)


def noisy_sum(
    vectors: Sequence[npt.NDArray[np.float64]], query: Query, size: int, noise: Noise
) -> tuple[int, ...]:
    """The sum of the clipped vectors of all patients, with noise on every coordinate.

    Args:
        vectors: float64 [d], one for each patient.
        query: bound and noise.
        size: d, which is public; without patients the answer is noise alone.
        noise: samples of it; unused if the multiplier is 0.

    Returns:
        d integers, in steps of the grid.
    """
    total = np.zeros(size, np.int64)
    for vector in vectors:
        total += clipped(vector, query)
    if not query.multiplier:
        return tuple(int(value) for value in total)
    return tuple(int(value) + noise(query.variance) for value in total)


def in_units(answer: Sequence[int]) -> npt.NDArray[np.float64]:
    """An answer in the vectors' own units: float64 [d]."""
    return np.array([value / GRID for value in answer], np.float64)


def _towards_zero(numerator: int, denominator: int) -> int:
    magnitude = abs(numerator) // denominator
    return -magnitude if numerator < 0 else magnitude
