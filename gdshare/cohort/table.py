"""The cohort table: one line a film, ``patient,image,mask,diagnosis``.

Two more columns may be there: ``split``, where the hospital wants to divide its patients itself,
and ``spacing_mm``, where it knows the size of a film's pixels better than the file. Others are
ignored.
"""

import csv
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gdshare.cohort.split import SPLITS, Split
from gdshare.errors import CohortError
from gdshare.films.bounds import LARGEST_MM, SMALLEST_MM

COLUMNS = ("patient", "image", "mask", "diagnosis")
SPLIT = "split"
SPACING = "spacing_mm"
DIAGNOSES = {"negative": False, "positive": True}


@dataclass(frozen=True)
class TableRow:
    """One film as the hospital lists it.

    Attributes:
        patient: the site's own name for the patient; it groups films and is never published.
        image: path of the film.
        mask: path of the organ mask, or None for a film that can only be classified.
        positive: the patient's diagnosis.
        split: where the table puts the patient; None when it has no such column.
        spacing_mm: side of a pixel; None where the table leaves it to the file.
    """

    patient: str
    image: Path
    mask: Path | None
    positive: bool
    split: Split | None = None
    spacing_mm: float | None = None


def read_table(path: Path) -> list[TableRow]:
    """Read a cohort table; paths in it are relative to the folder it lies in.

    Raises:
        CohortError: not there, not UTF-8 CSV, a column missing, an empty cell, an unknown
            diagnosis or split, one film listed twice, or a patient with two diagnoses or in two
            splits; it names the line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise CohortError(
                    f"the column {missing[0]} is missing",
                    path,
                    f"the first line must name {', '.join(COLUMNS)}, with commas between",
                )
            rows = [_row(path, number, cells) for number, cells in enumerate(reader, start=2)]
    except FileNotFoundError as error:
        raise CohortError("no such table", path, "give the path of the cohort's CSV") from error
    except OSError as error:
        raise CohortError(f"cannot be read ({error.strerror})", path, "check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise CohortError("not a UTF-8 CSV file", path, "save it as CSV UTF-8") from error
    if not rows:
        raise CohortError("lists no film", path, "add one line for each film")
    _require_consistent(path, rows)
    return rows


def _row(path: Path, number: int, cells: dict[str, str | None]) -> TableRow:
    patient, image, mask, diagnosis = ((cells.get(name) or "").strip() for name in COLUMNS)
    for name, value in (("patient", patient), ("image", image)):
        if not value:
            raise CohortError(f"{path}, line {number}: {name} is empty", remedy="fill it in")
    diagnosis = diagnosis.lower()
    if diagnosis not in DIAGNOSES:
        raise CohortError(
            f"{path}, line {number}: diagnosis is {diagnosis!r}",
            remedy="write negative or positive",
        )
    folder = path.parent
    return TableRow(
        patient,
        folder / image,
        folder / mask if mask else None,
        DIAGNOSES[diagnosis],
        _split(path, number, cells),
        _spacing(path, number, cells),
    )


def _spacing(path: Path, number: int, cells: dict[str, str | None]) -> float | None:
    told = (cells.get(SPACING) or "").strip()
    if not told:
        return None
    with suppress(ValueError):
        side = float(told)
        if SMALLEST_MM <= side <= LARGEST_MM:
            return side
    raise CohortError(
        f"{path}, line {number}: {SPACING} is {told!r}",
        remedy="write the side of a pixel in mm, such as 0.15, or leave it empty",
    )


def _split(path: Path, number: int, cells: dict[str, str | None]) -> Split | None:
    if SPLIT not in cells:
        return None
    told = (cells[SPLIT] or "").strip().lower()
    for split in SPLITS:
        if told == split:
            return split
    raise CohortError(
        f"{path}, line {number}: split is {told!r}",
        remedy=(
            "write train, val or test in every line, or leave the column out and let "
            "gdshare label divide the patients"
        ),
    )


def _require_consistent(path: Path, rows: list[TableRow]) -> None:
    diagnosis: dict[str, bool] = {}
    splits: dict[str, Split | None] = {}
    images: set[Path] = set()
    for number, row in enumerate(rows, start=2):
        if row.image in images:
            raise CohortError(
                f"{path}, line {number}: {row.image.name} is listed twice",
                remedy="keep one line a film",
            )
        images.add(row.image)
        if diagnosis.setdefault(row.patient, row.positive) != row.positive:
            raise CohortError(
                f"{path}, line {number}: patient {row.patient} has both diagnoses",
                remedy="the label is the patient's, so give all films of one patient the same",
            )
        if splits.setdefault(row.patient, row.split) != row.split:
            raise CohortError(
                f"{path}, line {number}: patient {row.patient} is in two splits",
                remedy="put all films of one patient into the same",
            )
