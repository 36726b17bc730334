"""``nearest-patch/1``: is a distilled image a copy of a patient's patch?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from gdshare.audit.patients import Patients
from gdshare.bundle.attacks import Attack

NAME: Final = "nearest-patch/1"
RESAMPLES = 2000
FLAT = 1e-6
"""Standard deviation of gray, in [0, 1], below which a patch has no pattern to correlate with."""


@dataclass(frozen=True)
class Correlations:
    """Absolute Pearson correlations between patches and images.

    Attributes:
        patients: float64 [patients], the largest of each patient, 0 to 1; 0 for a patient with flat
            patches only.
        rows: int64 [M], the patch that correlates most with each image.
        values: float64 [M], that correlation.
    """

    patients: npt.NDArray[np.float64]
    rows: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


def nearest(
    members: npt.NDArray[np.float64],
    others: npt.NDArray[np.float64],
    generator: np.random.Generator,
) -> Attack:
    """The largest correlation of any training patient, beside that of any test patient.

    Args:
        members: float64 [patients], largest correlation of each training patient's patches with any
            image.
        others: float64 [patients], the same of test patients.
        generator: resamples the training patients for the interval.
    """
    rows = generator.integers(len(members), size=(RESAMPLES, len(members)))
    low = np.percentile(members[rows].max(axis=1), 2.5)
    figure = round(float(members.max()), 3)
    # The maximum of a resample never exceeds the figure: the interval ends there.
    return Attack(
        name=NAME,
        figure=figure,
        low=min(round(float(low), 3), figure),
        high=figure,
        unrelated=round(float(others.max()), 3),
    )


def patient_correlations(
    images: npt.NDArray[np.float32], patients: Patients, done: Callable[[int], None]
) -> Correlations:
    """Absolute Pearson correlations of each patient's patches with the images.

    Args:
        images: float32 [M, 1, side, side].
        patients: with the patches to read.
        done: called with the number of patients done.
    """
    patterns = _patterns(images.reshape(len(images), -1).astype(np.float64))
    count = len(patterns)
    largest = np.empty(len(patients), np.float64)
    nearest_rows, nearest_values = np.zeros(count, np.int64), np.full(count, -1.0)
    for place, rows in enumerate(patients.rows):
        pixels = patients.patches.scaled(rows).reshape(len(rows), -1).astype(np.float64)
        # Rounding may leave the correlation of a copy slightly above 1.
        values = np.minimum(np.abs(_patterns(pixels) @ patterns.T), 1.0)
        largest[place] = float(values.max())
        best = values.argmax(axis=0)
        nearer = values[best, np.arange(count)] > nearest_values
        nearest_rows[nearer] = rows[best[nearer]]
        nearest_values[nearer] = values[best, np.arange(count)][nearer]
        done(place + 1)
    return Correlations(largest, nearest_rows, nearest_values)


def _patterns(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Centre rows and scale them to length 1: dot products are then correlations. Flat rows: 0."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    flat = length < FLAT * np.sqrt(rows.shape[1])
    return np.where(flat, 0.0, centred / np.where(flat, 1.0, length))
