"""The noisy statistic: all that a private run ever learns of its patients.

Two Gaussian queries. The coarse one asks all patients for the mean of their windows of class I and
of the organ; drawn films say only roughly where these lie, so its bound is wide. The fine one asks,
about the organ's noisy mean, how patients with and without the finding differ; patients lie close
to their mean, so its bound is narrow, and its noise small. Whatever is made of the answers costs
nothing more. Shapes::

    k  coordinates of the public projection
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gdshare.private.query import Noise, Query, in_units, noisy_sum

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PatientMeans:
    """A training patient, as the mechanism sees one.

    Attributes:
        irrelevant: float64 [k], mean over windows of class I; None without any.
        organ: float64 [k], mean over windows of class N or P; None without any.
        positive: whether there is a window of class P.
    """

    irrelevant: Vector | None
    organ: Vector | None
    positive: bool


@dataclass(frozen=True)
class Shape:
    """Everything about the queries that is fixed before any patient is looked at.

    Radii and weights are in deviations of drawn patches along a coordinate.

    Attributes:
        dimension: k.
        windows: of class I, and of the organ, that are looked at in each patient, at most.
        coarse_radius: of a patient's two means about those of drawn films, together.
        fine_radius: of a patient's organ mean about the noisy mean of all.
        coarse_weight, fine_weight: of a patient in the counts that are asked for beside.
        coarse_share: of the budget; the fine query has the rest.
        fewest: patients that a mean is divided by at least, however few the noise makes them.
    """

    dimension: int = 32
    windows: int = 64
    coarse_radius: float = 8.0
    fine_radius: float = 2.5
    coarse_weight: float = 2.0
    fine_weight: float = 1.0
    coarse_share: float = 0.2
    fewest: int = 10

    @property
    def shares(self) -> tuple[float, float]:
        """Of the budget, for the coarse query and the fine one."""
        return self.coarse_share, 1.0 - self.coarse_share

    @property
    def size(self) -> int:
        """Coordinates of either query: two means, and a count for each."""
        return 2 * self.dimension + 2

    def queries(self, multipliers: Sequence[float]) -> tuple[Query, Query]:
        """The coarse query and the fine one, with their bounds and noise."""
        coarse, fine = multipliers
        wide = float(np.sqrt(self.coarse_radius**2 + 2 * self.coarse_weight**2))
        narrow = float(np.sqrt(self.fine_radius**2 + self.fine_weight**2))
        return Query(wide, coarse), Query(narrow, fine)


@dataclass(frozen=True)
class Statistic:
    """The answers of the two queries, in steps of the grid: each ``Shape.size`` integers."""

    coarse: tuple[int, ...]
    fine: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Estimate:
    """What the answers say.

    Attributes:
        means: float64 [3, k], of the classes I, N and P.
        irrelevant, negative, positive: patients with windows of that class, to the nearest whole
            number; not below 0.
    """

    means: npt.NDArray[np.float64]
    irrelevant: int
    negative: int
    positive: int


def ask(
    patients: Sequence[PatientMeans],
    centres: npt.NDArray[np.float64],
    shape: Shape,
    multipliers: Sequence[float],
    noise: Noise,
) -> Statistic:
    """Ask the two queries. Each call spends the whole budget once.

    Args:
        patients: of the training split.
        centres: float64 [2, k], public: where drawn films have class I and the organ.
        shape: of the queries.
        multipliers: of the coarse query and the fine one.
        noise: from the operating system, never from a seed.
    """
    coarse, fine = shape.queries(multipliers)
    wide = [coarse_vector(patient, centres, shape) for patient in patients]
    answer = noisy_sum(wide, coarse, shape.size, noise)
    centre = _coarse_means(answer, centres, shape, coarse)[1]
    narrow = [fine_vector(patient, centre, shape) for patient in patients]
    return Statistic(answer, noisy_sum(narrow, fine, shape.size, noise))


def coarse_vector(patient: PatientMeans, centres: npt.NDArray[np.float64], shape: Shape) -> Vector:
    """A patient's part in the coarse query: float64 [2k + 2]."""
    own = (patient.irrelevant, patient.organ)
    means = [
        np.zeros(shape.dimension) if mean is None else mean - centre
        for mean, centre in zip(own, centres, strict=True)
    ]
    counts = [shape.coarse_weight * (mean is not None) for mean in own]
    return np.concatenate([_within(np.concatenate(means), shape.coarse_radius), counts])


def fine_vector(patient: PatientMeans, centre: Vector, shape: Shape) -> Vector:
    """A patient's part in the fine query: float64 [2k + 2]; half of it is 0."""
    means, counts = np.zeros((2, shape.dimension)), np.zeros(2)
    if patient.organ is not None:
        diagnosis = int(patient.positive)
        means[diagnosis] = _within(patient.organ - centre, shape.fine_radius)
        counts[diagnosis] = shape.fine_weight
    return np.concatenate([means.ravel(), counts])


def estimate(
    statistic: Statistic,
    centres: npt.NDArray[np.float64],
    shape: Shape,
    multipliers: Sequence[float],
) -> Estimate:
    """Read the answers; no patient is looked at any more.

    Args:
        statistic: of ``ask``.
        centres, shape, multipliers: that it was asked with.
    """
    coarse, fine = shape.queries(multipliers)
    irrelevant, organ = _coarse_means(statistic.coarse, centres, shape, coarse)
    sums, counts = _parted(statistic.fine, shape.fine_weight, shape)
    divisors = np.maximum(counts, shape.fewest)
    negative, positive = sums / divisors[:, None]  # [k] each
    spread = float(((fine.deviation / divisors) ** 2).sum()) / 4  # of the noise, a coordinate
    middle = shrunk((negative + positive) / 2, spread)
    half = shrunk((positive - negative) / 2, spread)
    diagnoses = organ + np.stack([middle - half, middle + half])  # [2, k]
    return Estimate(np.stack([irrelevant, *diagnoses]), *patient_numbers(statistic, shape))


def patient_numbers(statistic: Statistic, shape: Shape) -> tuple[int, int, int]:
    """The noisy numbers of patients with windows of class I, N and P, as ``Estimate`` has them."""
    seen = _parted(statistic.coarse, shape.coarse_weight, shape)[1][0]
    negative, positive = _parted(statistic.fine, shape.fine_weight, shape)[1]
    irrelevant, without, with_it = (
        max(0, round(float(number))) for number in (seen, negative, positive)
    )
    return irrelevant, without, with_it


def shrunk(vector: Vector, variance: float) -> Vector:
    """A noisy vector, drawn towards 0 by as much as its length is the noise's.

    James and Stein 1961, its positive part: nearer to the truth on average, from 3 coordinates on.

    Args:
        vector: float64 [k].
        variance: of the noise on a coordinate.
    """
    squares = float(vector @ vector)
    if squares == 0.0:
        return vector
    return vector * max(0.0, 1.0 - max(0, len(vector) - 2) * variance / squares)


def _coarse_means(
    answer: Sequence[int], centres: npt.NDArray[np.float64], shape: Shape, query: Query
) -> npt.NDArray[np.float64]:
    """Noisy means of class I and of the organ: float64 [2, k]."""
    sums, counts = _parted(answer, shape.coarse_weight, shape)
    divisors = np.maximum(counts, shape.fewest)
    offsets = [
        shrunk(own / divisor, (query.deviation / divisor) ** 2)
        for own, divisor in zip(sums, divisors, strict=True)
    ]
    return centres + np.stack(offsets)


def _parted(answer: Sequence[int], weight: float, shape: Shape) -> tuple[Vector, Vector]:
    """An answer's two sums, float64 [2, k], and its two counts, float64 [2]."""
    values = in_units(answer)
    return values[:-2].reshape(2, shape.dimension), values[-2:] / weight


def _within(vector: Vector, radius: float) -> Vector:
    length = float(np.linalg.norm(vector))
    return vector if length <= radius else vector * (radius / length)
