"""``nearest-patch/1``: is a distilled image somebody's patch?"""

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from gdshare.audit.patients import Patients
from gdshare.bundle.attacks import Attack

NAME: Final = "nearest-patch/1"
RESAMPLES = 2000
FLAT = 1e-6
"""Deviation of gray below which a patch has no pattern to correlate with."""


def nearest(
    members: npt.NDArray[np.float64],
    others: npt.NDArray[np.float64],
    generator: np.random.Generator,
) -> Attack:
    """The closest any training patient comes, beside the closest any test patient comes.

    Args:
        members: largest correlation of each training patient's patches with any image.
        others: of each test patient's.
        generator: resamples the training patients for the interval.
    """
    drawn = generator.integers(len(members), size=(RESAMPLES, len(members)))
    low = np.percentile(members[drawn].max(axis=1), 2.5)
    figure = round(float(members.max()), 3)
    # Resampling never finds more than there is: the interval ends at the figure itself.
    return Attack(
        name=NAME,
        figure=figure,
        low=min(round(float(low), 3), figure),
        high=figure,
        unrelated=round(float(others.max()), 3),
    )


def closest(
    images: npt.NDArray[np.float32], patients: Patients, done: Callable[[int], None]
) -> npt.NDArray[np.float64]:
    """Largest absolute Pearson correlation of each patient's patches with any image.

    Args:
        images: float32 [M, 1, side, side].
        patients: whose patches.
        done: called with the number of patients that are done.

    Returns:
        float64 [patients] in [0, 1]; 0 for a patient with nothing but flat patches.
    """
    wanted = _patterns(images.reshape(len(images), -1).astype(np.float64))
    found = np.empty(len(patients), np.float64)
    for place, rows in enumerate(patients.rows):
        pixels = patients.patches.scaled(rows).reshape(len(rows), -1).astype(np.float64)
        # Rounding may leave the correlation of a copy a hair above 1.
        found[place] = min(float(np.abs(_patterns(pixels) @ wanted.T).max()), 1.0)
        done(place + 1)
    return found


def _patterns(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rows without mean and scale: their products are correlations; flat ones become 0."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    flat = length < FLAT * np.sqrt(rows.shape[1])
    return np.where(flat, 0.0, centred / np.where(flat, 1.0, length))
