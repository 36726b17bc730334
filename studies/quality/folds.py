"""Dividing each hospital's patients for cross-validation, and cutting the patches of one fold."""

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.pieces.claims import Facts, Watch
from gdshare.cohort import Split, TableRow, label_cohort, open_cohort, read_table
from gdshare.errors import CohortError
from gdshare.seeding import numpy_generator
from gdshare.storage import write_bytes
from studies.quality.hospitals import Hospital
from studies.quality.plan import Plan

COLUMNS = ("patient", "image", "mask", "diagnosis", "split")
COHORT = "cohort"
TABLE = "table.csv"


def divide(
    diagnosis: Mapping[str, bool], folds: int, fold: int, validation: float, seed: int
) -> dict[str, Split]:
    """Say for each patient of one hospital which split of one fold it is in.

    Within each diagnosis the patients are shuffled, the same for every fold, and cut into ``folds``
    parts whose sizes differ by at most one. Part ``fold`` is the test split. The others are
    shuffled anew; the first ``validation`` of them, at least one patient, is the validation split.

    Args:
        diagnosis: patient -> positive; their order does not matter.
        folds: 2 or more.
        fold: from 0 to folds - 1.
        validation: share of all patients who are not in the test split.
        seed: decides both shuffles.

    Raises:
        CohortError: too few patients of a diagnosis for one of each in every split.
    """
    divided: dict[str, Split] = {}
    for positive in (False, True):
        patients = sorted(name for name, value in diagnosis.items() if value is positive)
        word = "positive" if positive else "negative"
        order = numpy_generator(seed, f"folds-{word}").permutation(len(patients))
        parts = np.array_split(order, folds)
        rest = np.concatenate([part for index, part in enumerate(parts) if index != fold])
        rest = numpy_generator(seed, f"folds-validation-{word}", fold).permutation(rest)
        held_out = max(1, round(validation * len(rest)))
        if not len(parts[fold]) or held_out >= len(rest):
            raise CohortError(
                f"{len(patients)} {word} patients cannot be divided into training, validation and "
                f"test in {folds} folds; give more patients, or fewer --folds"
            )
        for split, chosen in (
            ("test", parts[fold]),
            ("val", rest[:held_out]),
            ("train", rest[held_out:]),
        ):
            divided |= {patients[index]: split for index in chosen}
    return divided


def table_of(rows: Sequence[TableRow], splits: Mapping[str, Split]) -> bytes:
    """The films of a table with their patients' splits, as a CSV whose paths are absolute."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow(
            (
                row.patient,
                row.image.absolute(),
                row.mask.absolute() if row.mask else "",
                "positive" if row.positive else "negative",
                splits[row.patient],
            )
        )
    return text.getvalue().encode()


def cut_cohort(plan: Plan, fold: int, hospital: Hospital, folder: Path, watch: Watch) -> Facts:
    """The piece that divides one hospital's patients for one fold and cuts their patches.

    Raises:
        CohortError, FilmError: the table, a film or a mask is wrong, or patients are too few.
    """
    rows = read_table(hospital.table)
    diagnosis = {row.patient: row.positive for row in rows}
    try:
        splits = divide(
            diagnosis, plan.folds, fold, plan.validation, plan.seed_of(hospital.name, 0)
        )
    except CohortError as error:
        raise CohortError(f"{hospital.table}: {error}") from error
    cohort = folder / COHORT
    if not cohort.exists():  # it appears whole or not at all
        for lost in folder.glob(f".{COHORT}.*"):  # of an attempt that was killed
            shutil.rmtree(lost)
        write_bytes(folder / TABLE, table_of(rows, splits))
        label_cohort(folder / TABLE, cohort, plan.protocol)
    counts = open_cohort(cohort).counts
    return {"counts": {split: counts[split].model_dump() for split in counts}}
