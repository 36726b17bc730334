"""Hospitals, of tb_cxr or synthetic; how their patients are divided, and their films cut."""

import csv
import hashlib
import io
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gdshare.cohort import Cohort, Split, TableRow, label_cohort, open_cohort, read_table
from gdshare.errors import CohortError, UsageError
from gdshare.films.phantom import write_phantom_cohort
from gdshare.protocol import Protocol
from gdshare.seeding import numpy_generator
from gdshare.storage import write_bytes
from studies.runner import Cell, Piece, Result, Store

NAMES = ("montgomery", "shenzhen-a", "shenzhen-b")
TABLE, FILMS, COHORT = "labels.csv", "films", "cohort"
COLUMNS, FOLD_TABLE = ("patient", "image", "mask", "diagnosis", "split"), "table.csv"


@dataclass(frozen=True)
class Phantoms:
    """Synthetic hospitals in place of real ones."""

    hospitals: int = 3
    per_diagnosis: int = 6  # films of each diagnosis at each
    size: int = 256  # side of a film, px


@dataclass(frozen=True)
class Hospital:
    name: str
    table: Path
    digest: str | None = None  # SHA-256 of the table; None of synthetic films
    films: Cell | None = None  # the cell that draws them; None of real films

    @property
    def needs(self) -> dict[str, Cell]:
        """What a cell that cuts the films needs."""
        return {"films": self.films} if self.films else {}


def hospitals_of(
    phantoms: Phantoms | None, data: Path, store: Store, names: Sequence[str] = NAMES
) -> list[Hospital]:
    """Synthetic hospitals, each with the cell that draws its films; or those of tb_cxr."""
    if phantoms is None:
        return [real_hospital(data, name) for name in names]
    cells = [
        Cell(f"phantom-{number}", "cohorts", draw_films, phantoms, number)
        for number in range(phantoms.hospitals)
    ]
    tables = [(store.folder(cell) / FILMS / TABLE).absolute() for cell in cells]
    return [Hospital(c.name, table, films=c) for c, table in zip(cells, tables, strict=True)]


def real_hospital(data: Path, name: str) -> Hospital:
    """A hospital of tb_cxr, which lies in ``data``; UsageError if its table does not."""
    table = (data / "tb_cxr" / name / TABLE).absolute()
    try:
        return Hospital(name, table, hashlib.sha256(table.read_bytes()).hexdigest())
    except OSError as error:
        what = f"cannot be read ({error.strerror}), so there are no real films to measure on"
        remedy = "give the folder that holds tb_cxr by --data, or try everything out by --quick"
        raise UsageError(what, table, remedy) from error


def draw_films(piece: Piece, phantoms: Phantoms) -> Result:
    """The cell that draws one synthetic hospital's films; which hospital, the seed says."""
    films, count, size = piece.folder / FILMS, phantoms.per_diagnosis, phantoms.size
    if not films.exists():  # they appear whole or not at all
        write_phantom_cohort(films, site=piece.seed, negatives=count, positives=count, size=size)
    return Result({"films": 2 * count})


def cohort_cell(hospital: Hospital, protocol: Protocol) -> Cell:
    """The cell that splits one hospital's patients by chance, and cuts their films."""
    split = (0.6, 0.2, 0.2)  # training, validation, test

    def cut(piece: Piece, parameters: object) -> Result:
        cut_once(piece.folder, lambda to: label_cohort(hospital.table, to, protocol, split, 0))
        return Result()

    parameters = {"table": hospital.digest, "protocol": protocol, "split": split}
    return Cell("cohort", "cohorts", cut, parameters, 0, hospital.needs, cpu_seconds=3.0)


def cut_once(folder: Path, label: Callable[[Path], object]) -> Cohort:
    """A cell's cohort, cut unless an earlier piece did so; it appears whole or not at all."""
    cohort = folder / COHORT
    if not cohort.exists():
        for lost in folder.glob(f".{COHORT}.*"):  # of an attempt that was killed
            shutil.rmtree(lost)
        label(cohort)
    return open_cohort(cohort)


@dataclass(frozen=True)
class Division:
    """How a hospital's patients are divided for cross-validation, and their films cut."""

    table: str | None  # digest of the hospital's table; None of synthetic films
    folds: int  # 2 or more
    fold: int  # from 0
    validation: float  # share of all patients who are not in the test split
    protocol: Protocol

    def splits(self, diagnosis: Mapping[str, bool], seed: int) -> dict[str, Split]:
        """The split of each patient, who is positive or not.

        Within each diagnosis the patients are shuffled, the same for every fold, and cut into
        ``folds`` parts. Part ``fold`` is the test split. The others are shuffled anew; the first
        ``validation`` of them, at least one, is the validation split.
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
            raise error.at(table) from error
        write_bytes(piece.folder / FOLD_TABLE, table_of(rows, splits))
        label_cohort(piece.folder / FOLD_TABLE, cohort, division.protocol)

    counts = cut_once(piece.folder, label).counts
    return Result({"counts": {split: counts[split].model_dump() for split in counts}})
