"""Patches by patient: an attack asks about people, not about windows."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gdshare.cohort import Cohort, Patches, Split
from gdshare.seeding import numpy_generator

PATCHES = 20
"""Of one patient that a mean is taken over, at most: their loss is known well enough then."""
LEAST = 5
"""Patients of a diagnosis below which no interval over patients is worth its name."""


@dataclass(frozen=True)
class Patients:
    """Patients of one split, each with patches of theirs.

    Attributes:
        patches: all of the split's.
        rows: for each patient int64 [n], indices of patches.
        positive: bool [patients], the diagnosis.
    """

    patches: Patches
    rows: tuple[npt.NDArray[np.int64], ...]
    positive: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        """How many patients."""
        return len(self.rows)


def patients_of(cohort: Cohort, split: Split) -> Patients:
    """Gather each patient's patches.

    Raises:
        CohortError: the cohort's files do not fit one another.
    """
    patches = cohort.patches(split)
    names = sorted({film.patient for film in cohort.films})
    number = {name: index for index, name in enumerate(names)}
    owner = np.array([number[film.patient] for film in cohort.films], np.int64)[patches.films]
    rows = tuple(np.flatnonzero(owner == patient) for patient in np.unique(owner))
    sick = {film.patient for film in cohort.films if film.positive}
    positive = np.array([names[patient] in sick for patient in np.unique(owner)], np.bool_)
    return Patients(patches, rows, positive)


def some_of(patients: Patients, seed: int, purpose: str) -> Patients:
    """Keep up to ``PATCHES`` patches of each patient, drawn by chance."""
    rows = tuple(
        np.sort(
            numpy_generator(seed, purpose, place).choice(
                mine, min(PATCHES, len(mine)), replace=False
            )
        )
        for place, mine in enumerate(patients.rows)
    )
    return Patients(patients.patches, rows, patients.positive)
