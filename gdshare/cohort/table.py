"""The cohort table: ``patient,image,mask,diagnosis``, one line per film.

Two more columns are optional: ``split``, if the hospital divides its patients itself, and
``spacing_mm``, which overrides the pixel size in a film's file. Other columns are named and left
out. ``rows`` reads the file, ``repeated`` compares its lines.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gdshare.cohort.repeated import (
    Entry,
    require_consistent,
    require_different_pictures,
)
from gdshare.cohort.rows import Row, place, read_rows
from gdshare.cohort.split import SPLITS, Split
from gdshare.errors import CohortError, FilmError
from gdshare.films.bounds import MAX_PIXEL_MM, MIN_PIXEL_MM
from gdshare.films.listed import ListedFilm
from gdshare.plain_files import require_plain
from gdshare.spelling import patient_name

log = logging.getLogger(__name__)

COLUMNS = ("patient", "image", "mask", "diagnosis")
LISTED = ("patient", "image")
"""Columns of a table of films that may not be outlined yet."""
SPLIT = "split"
SPACING = "spacing_mm"
DIAGNOSES = {"negative": False, "positive": True}


@dataclass(frozen=True)
class TableRow:
    """A film of the cohort table.

    Attributes:
        line: the table and the line in it, for messages.
        patient: the site's own name for the patient; it groups films and is never published.
        image: path of the film.
        mask: path of the organ mask; None for a film that can only be classified.
        positive: the patient's diagnosis.
        split: the patient's split; None if the table has no such column.
        spacing_mm: side of a pixel, mm; None to use the file's.
    """

    line: str
    patient: str
    image: Path
    mask: Path | None
    positive: bool
    split: Split | None = None
    spacing_mm: float | None = None


def read_table(path: Path) -> list[TableRow]:
    """Read a cohort table; its paths are relative to its own folder.

    Raises:
        CohortError: the file is missing or not CSV, a column or a cell is missing, a diagnosis or
            split is unknown, a film is listed twice, also as a copy, or a patient has two diagnoses
            or is in two splits. The error names the line.
    """
    rows = read_rows(path, COLUMNS, (SPLIT, SPACING))
    entries = [_entry(path, row) for row in rows]
    films = [_table_row(path, *pair) for pair in zip(rows, entries, strict=True)]
    require_consistent(path, entries)
    require_different_pictures(path, entries)
    return films


def read_listing(path: Path) -> list[ListedFilm]:
    """Read a table of films that may not be outlined yet: ``mask`` and ``diagnosis`` may be empty.

    Copies of a film are left to the import, which knows the films of earlier tables too.

    Raises:
        CohortError: as ``read_table``.
    """
    rows = read_rows(path, LISTED, ("mask", "diagnosis", SPLIT, SPACING))
    entries = [_entry(path, row) for row in rows]
    films = [_listed(path, *pair) for pair in zip(rows, entries, strict=True)]
    require_consistent(path, entries)
    if any(SPLIT in row.cells for row in rows):
        log.warning("%s: its column split is left out; gdshare label divides the patients", path)
    return films


def require_files(rows: list[TableRow]) -> None:
    """Refuse films and masks that cannot be opened, or that a reader would wait for.

    Raises:
        FilmError: a file is missing, or a folder, a pipe or a device. It names the line.
    """
    for row in rows:
        for path in (row.image, row.mask):
            try:
                if path is not None:
                    require_plain(path)
            except OSError as error:
                what = f"cannot be opened ({error.strerror})"
                raise FilmError(what, path, "check the path").at(row.line) from error


def _table_row(path: Path, row: Row, entry: Entry) -> TableRow:
    if entry.positive is None:
        raise _diagnosis_error(path, row, "")
    return TableRow(
        place(path, row.line),
        entry.patient,
        entry.image,
        entry.mask,
        entry.positive,
        _split(path, row),
        _spacing(path, row),
    )


def _listed(path: Path, row: Row, entry: Entry) -> ListedFilm:
    line, spacing_mm = place(path, row.line), _spacing(path, row)
    return ListedFilm(line, entry.patient, entry.image, entry.mask, entry.positive, spacing_mm)


def _entry(path: Path, row: Row) -> Entry:
    patient, image, mask, diagnosis = (row.cells.get(name, "") for name in COLUMNS)
    for name, value in (("patient", patient), ("image", image)):
        if not value:
            raise CohortError(f"{name} is empty", place(path, row.line), "fill it in")
    positive = DIAGNOSES.get(diagnosis.lower())
    if diagnosis and positive is None:
        raise _diagnosis_error(path, row, diagnosis)
    return Entry(
        row.line,
        patient_name(patient),
        path.parent / image,
        path.parent / mask if mask else None,
        positive,
        row.cells.get(SPLIT, "").lower() or None,
    )


def _diagnosis_error(path: Path, row: Row, diagnosis: str) -> CohortError:
    return CohortError(
        f"diagnosis is {diagnosis!r}", place(path, row.line), "write negative or positive"
    )


def _spacing(path: Path, row: Row) -> float | None:
    text = row.cells.get(SPACING, "")
    if not text:
        return None
    with suppress(ValueError):
        side = float(text)
        if MIN_PIXEL_MM <= side <= MAX_PIXEL_MM:
            return side
    raise CohortError(
        f"{SPACING} is {text!r}",
        place(path, row.line),
        "write the side of a pixel in mm, such as 0.15, or leave it empty",
    )


def _split(path: Path, row: Row) -> Split | None:
    if SPLIT not in row.cells:
        return None
    text = row.cells[SPLIT].lower()
    for split in SPLITS:
        if text == split:
            return split
    raise CohortError(
        f"split is {text!r}",
        place(path, row.line),
        "write train, val or test in every line, or leave out the column to divide the patients at "
        "random",
    )
