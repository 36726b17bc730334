"""Where the films come from, the hospitals of tb_cxr or synthetic ones, and how they are cut."""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gdshare.cohort import Cohort, label_cohort, open_cohort
from gdshare.errors import UsageError
from gdshare.films.phantom import write_phantom_cohort
from gdshare.protocol import Protocol
from studies.runner import Cell, Piece, Result, Store

NAMES = ("montgomery", "shenzhen-a", "shenzhen-b")
TABLE, FILMS, COHORT = "labels.csv", "films", "cohort"


@dataclass(frozen=True)
class Phantoms:
    """Synthetic hospitals in place of real ones."""

    hospitals: int = 3
    per_diagnosis: int = 6  # films of each diagnosis at each
    size: int = 256  # side of a film, px


@dataclass(frozen=True)
class Hospital:
    """One hospital and its table of films."""

    name: str
    table: Path
    digest: str | None = None  # SHA-256 of the table; None of synthetic films
    films: Cell | None = None  # the cell that draws them; None of real films


def hospitals_of(
    phantoms: Phantoms | None, data: Path, store: Store, names: Sequence[str] = NAMES
) -> list[Hospital]:
    """Synthetic hospitals, each with the cell that draws its films; without, those of tb_cxr."""
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
    films, count = piece.folder / FILMS, phantoms.per_diagnosis
    if not films.exists():  # they appear whole or not at all
        write_phantom_cohort(
            films, site=piece.seed, negatives=count, positives=count, size=phantoms.size
        )
    return Result({"films": 2 * count})


@dataclass(frozen=True)
class Cut:
    """How a hospital's patients are split by chance, and their films cut."""

    table: str | None  # its digest
    protocol: Protocol
    split: tuple[float, float, float] = (0.6, 0.2, 0.2)  # training, validation, test


def cohort_cell(hospital: Hospital, protocol: Protocol) -> Cell:
    """The cell that cuts one hospital's cohort."""
    needs = {"films": hospital.films} if hospital.films else {}
    cut, cut_it = Cut(hospital.digest, protocol), partial(cut_cohort, hospital.table)
    return Cell("cohort", "cohorts", cut_it, cut, needs=needs, cpu_seconds=3.0)


def cut_cohort(table: Path, piece: Piece, cut: Cut) -> Result:
    """The work of that cell."""

    def label(cohort: Path) -> None:
        label_cohort(table, cohort, cut.protocol, cut.split, piece.seed)

    cut_once(piece.folder, label)
    return Result()


def cut_once(folder: Path, label: Callable[[Path], object]) -> Cohort:
    """A cell's cohort, cut unless an earlier piece did so; it appears whole or not at all."""
    cohort = folder / COHORT
    if not cohort.exists():
        for lost in folder.glob(f".{COHORT}.*"):  # of an attempt that was killed
            shutil.rmtree(lost)
        label(cohort)
    return open_cohort(cohort)
