"""The patients whom membership attacks guess about: a cohort's training and test patients.

Training patients are members: the run saw them. Test patients are not. Both are candidates for the
shadows, each of which is distilled from about half of them.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gdshare.audit.patients import patients_of
from gdshare.cohort import Cohort, Patches
from gdshare.seeding import numpy_generator

MEASURED = 24
"""Windows of a patient and class that a statistic is the mean over, at most."""


@dataclass(frozen=True)
class Candidates:
    """Patients and their windows.

    Attributes:
        member: bool [n], whether the run was distilled from this patient.
        positive: bool [n], the diagnosis.
        training: windows that shadows learn from; ``films`` holds the patient's number instead.
        measured: windows that statistics are taken on, drawn apart from those; the same.
    """

    member: npt.NDArray[np.bool_]
    positive: npt.NDArray[np.bool_]
    training: Patches
    measured: Patches

    def __len__(self) -> int:
        """Number of patients."""
        return len(self.member)

    @property
    def owners(self) -> npt.NDArray[np.int64]:
        """The patient of each measured window, int64 [windows]."""
        return self.measured.films.astype(np.int64)

    def by_patient(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Means over each patient's measured windows.

        Args:
            values: float64 [..., windows].

        Returns:
            float64 [..., n].
        """
        owners, count = self.owners, np.bincount(self.owners, minlength=len(self))
        flat = values.reshape(-1, len(owners))
        sums = np.stack([np.bincount(owners, row, len(self)) for row in flat])
        return np.asarray((sums / count).reshape(*values.shape[:-1], len(self)))


def candidates_of(cohort: Cohort, per_class: int, seed: int) -> Candidates:
    """Draw the windows of a cohort's training and test patients.

    Args:
        cohort: labelled patches.
        per_class: windows of each class that shadows may learn from, of all patients together; each
            shadow sees those of its patients, about half.
        seed: decides which.

    Raises:
        CohortError: the cohort's files do not fit together.
    """
    splits = [patients_of(cohort, split) for split in ("train", "test")]
    pixels = [part.patches.pixels for part in splits]
    labels = np.concatenate([part.patches.labels for part in splits])
    starts = (0, len(splits[0].patches))
    of_each = [
        start + rows for start, part in zip(starts, splits, strict=True) for rows in part.rows
    ]
    owners = np.full(len(labels), -1, np.int64)
    for number, rows in enumerate(of_each):
        owners[rows] = number

    def take(rows: npt.NDArray[np.int64]) -> Patches:
        rows = np.sort(rows)
        first = rows < len(pixels[0])
        own = [pixels[0][rows[first]], pixels[1][rows[~first] - len(pixels[0])]]
        return Patches(np.concatenate(own), labels[rows], owners[rows].astype(np.uint32))

    generator = numpy_generator(seed, "audit-training-windows")
    training = [draw_rows(np.flatnonzero(labels == own), per_class, generator) for own in range(3)]
    generator = numpy_generator(seed, "audit-measured-windows")
    measured = [
        draw_rows(rows[labels[rows] == own], MEASURED, generator)
        for rows in of_each
        for own in range(3)
    ]
    return Candidates(
        member=np.arange(len(of_each)) < len(splits[0]),
        positive=np.concatenate([part.positive for part in splits]),
        training=take(np.concatenate(training)),
        measured=take(np.concatenate(measured)),
    )


def draw_rows(
    rows: npt.NDArray[np.int64], count: int, generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Up to ``count`` of these rows, each at most once."""
    return generator.choice(rows, min(count, len(rows)), replace=False)
