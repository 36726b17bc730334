"""Dividing each hospital's patients for cross-validation, and cutting the patches of one fold."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from gdshare.cohort import Split, TableRow, label_cohort, read_table
from gdshare.errors import CohortError
from gdshare.protocol import Protocol
from gdshare.seeding import numpy_generator
from gdshare.storage import write_bytes
from studies.hospitals import cut_once
from studies.runner import Piece, Result

COLUMNS = ("patient", "image", "mask", "diagnosis", "split")
TABLE = "table.csv"


@dataclass(frozen=True)
class Division:
    """How one hospital's patients are divided in one fold, and their films cut."""

    table: str | None  # digest of the hospital's table; None of synthetic films
    folds: int  # 2 or more
    fold: int  # from 0
    validation: float  # share of all patients who are not in the test split
    protocol: Protocol

    def splits(self, diagnosis: Mapping[str, bool], seed: int) -> dict[str, Split]:
        """Say for each patient, who is positive or not, which split it is in.

        Within each diagnosis the patients are shuffled, the same for every fold, and cut into
        ``folds`` parts whose sizes differ by at most one. Part ``fold`` is the test split. The
        others are shuffled anew; the first ``validation`` of them, at least one, is the validation
        split. The order of the patients does not matter.
        """
        divided: dict[str, Split] = {}
        for positive, word in ((False, "negative"), (True, "positive")):
            patients = sorted(name for name, value in diagnosis.items() if value is positive)
            order = numpy_generator(seed, f"folds-{word}").permutation(len(patients))
            parts = np.array_split(order, self.folds)
            rest = np.concatenate([part for n, part in enumerate(parts) if n != self.fold])
            rest = numpy_generator(seed, f"folds-validation-{word}", self.fold).permutation(rest)
            validation = max(1, round(self.validation * len(rest)))
            if not len(parts[self.fold]) or validation >= len(rest):
                raise CohortError(
                    f"{len(patients)} {word} patients cannot be divided into training, validation "
                    f"and test in {self.folds} folds; give more patients"
                )
            divided |= {patients[index]: "test" for index in parts[self.fold]}
            divided |= {patients[index]: "val" for index in rest[:validation]}
            divided |= {patients[index]: "train" for index in rest[validation:]}
        return divided


def table_of(rows: Sequence[TableRow], splits: Mapping[str, Split]) -> bytes:
    """The films of a table with their patients' splits, as a CSV whose paths are absolute."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        mask = row.mask.absolute() if row.mask else ""
        diagnosis = "positive" if row.positive else "negative"
        writer.writerow((row.patient, row.image.absolute(), mask, diagnosis, splits[row.patient]))
    return text.getvalue().encode()


def cut_fold(table: Path, piece: Piece, division: Division) -> Result:
    """The cell that divides one hospital's patients for one fold and cuts their patches."""

    def label(cohort: Path) -> None:
        rows = read_table(table)
        diagnosis = {row.patient: row.positive for row in rows}
        try:
            splits = division.splits(diagnosis, piece.seed)
        except CohortError as error:
            raise CohortError(f"{table}: {error}") from error
        write_bytes(piece.folder / TABLE, table_of(rows, splits))
        label_cohort(piece.folder / TABLE, cohort, division.protocol)

    counts = cut_once(piece.folder, label).counts
    plain: dict[str, JsonValue] = {split: counts[split].model_dump() for split in counts}
    return Result({"counts": plain})
