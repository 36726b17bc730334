"""Patches by patient: attacks are about people, not about windows."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gdshare.cohort import Cohort, Patches, Split
from gdshare.seeding import numpy_generator

MAX_PATCHES = 20
"""Of a patient, at most, that the mean loss is taken over."""
MIN_PATIENTS = 5
"""Of a diagnosis: with fewer, an interval over patients means nothing."""


@dataclass(frozen=True)
class Patients:
    """Patients of a split, with the patches of each.

    Attributes:
        patches: all patches of the split.
        rows: for each patient, int64 [n], indices of their patches.
        positive: bool [patients], the diagnosis.
        names: as the cohort has them; none where nobody asks.
    """

    patches: Patches
    rows: tuple[npt.NDArray[np.int64], ...]
    positive: npt.NDArray[np.bool_]
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of patients."""
        return len(self.rows)


def patients_of(cohort: Cohort, split: Split) -> Patients:
    """Group the patches of a split by patient.

    Raises:
        CohortError: the cohort's files do not fit together.
    """
    patches = cohort.patches(split)
    names = sorted({film.patient for film in cohort.films})
    number = {name: index for index, name in enumerate(names)}
    owner = np.array([number[film.patient] for film in cohort.films], np.int64)[patches.films]
    positives = {film.patient for film in cohort.films if film.positive}
    numbers, rows = rows_by_owner(owner)
    present = tuple(names[patient] for patient in numbers)
    positive = np.array([name in positives for name in present], np.bool_)
    return Patients(patches, rows, positive, present)


def rows_by_owner(
    owner: npt.NDArray[np.int64],
) -> tuple[tuple[int, ...], tuple[npt.NDArray[np.int64], ...]]:
    """Who owns rows, ascending, and whose are which: int64 [n] each, ascending.

    Sorted once, since ten thousand patients have ten million windows.
    """
    order = np.argsort(owner, kind="stable")
    bounds = np.flatnonzero(np.diff(owner[order])) + 1
    parts = np.split(order, bounds) if len(order) else []
    return tuple(int(owner[rows[0]]) for rows in parts), tuple(parts)


def sample_patches(patients: Patients, seed: int, purpose: str) -> Patients:
    """Keep up to ``MAX_PATCHES`` patches of each patient, chosen at random."""

    def choose(place: int, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        generator = numpy_generator(seed, purpose, place)
        return np.sort(generator.choice(rows, min(MAX_PATCHES, len(rows)), replace=False))

    chosen = tuple(choose(place, rows) for place, rows in enumerate(patients.rows))
    return Patients(patients.patches, chosen, patients.positive)
