"""The cohort table: ``patient,image,mask,diagnosis``, one line per film.

Two more columns are optional: ``split``, if the hospital divides its patients itself, and
``spacing_mm``, which overrides the pixel size in a film's file. Other columns are ignored.
"""

import csv
import logging
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gdshare.cohort.split import SPLITS, Split
from gdshare.errors import CohortError
from gdshare.films.bounds import MAX_PIXEL_MM, MIN_PIXEL_MM
from gdshare.films.listed import ListedFilm

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
        patient: the site's own name for the patient; it groups films and is never published.
        image: path of the film.
        mask: path of the organ mask; None for a film that can only be classified.
        positive: the patient's diagnosis.
        split: the patient's split; None if the table has no such column.
        spacing_mm: side of a pixel, mm; None to use the file's.
    """

    patient: str
    image: Path
    mask: Path | None
    positive: bool
    split: Split | None = None
    spacing_mm: float | None = None


def read_table(path: Path) -> list[TableRow]:
    """Read a cohort table; its paths are relative to its own folder.

    Raises:
        CohortError: the file is missing or not UTF-8 CSV, a column or a cell is missing, a
            diagnosis or split is unknown, a film is listed twice, or a patient has two diagnoses or
            is in two splits. The error names the line.
    """
    rows = [_row(path, number, cells) for number, cells in _lines(path, COLUMNS)]
    _require_consistent(path, rows)
    return rows


def read_listing(path: Path) -> list[ListedFilm]:
    """Read a table of films that may not be outlined yet: ``mask`` and ``diagnosis`` may be empty.

    Raises:
        CohortError: as ``read_table``.
    """
    lines = _lines(path, LISTED)
    films = [_listed(path, number, cells) for number, cells in lines]
    if any(SPLIT in cells for _, cells in lines):
        log.warning("%s: its column split is left out; gdshare label divides the patients", path)
    return films


def _lines(path: Path, columns: tuple[str, ...]) -> list[tuple[int, dict[str, str | None]]]:
    """The lines of a table with these columns, with their numbers; at least one."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise CohortError(
                    f"has no column {missing[0]}",
                    path,
                    f"name the columns in the first line: {','.join(columns)}",
                )
            lines = list(enumerate(reader, start=2))
    except FileNotFoundError as error:
        raise CohortError("no such table", path, "give the path of the cohort's CSV") from error
    except OSError as error:
        raise CohortError(f"cannot be read ({error.strerror})", path, "check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise CohortError("is not a UTF-8 CSV file", path, "save it as CSV UTF-8") from error
    if not lines:
        raise CohortError("lists no film", path, "add one line per film")
    return lines


def _listed(path: Path, number: int, cells: dict[str, str | None]) -> ListedFilm:
    known = bool((cells.get("diagnosis") or "").strip())
    row = _row(path, number, cells if known else {**cells, "diagnosis": "negative"})
    positive = row.positive if known else None
    return ListedFilm(
        _line(path, number), row.patient, row.image, row.mask, positive, row.spacing_mm
    )


def _row(path: Path, number: int, cells: dict[str, str | None]) -> TableRow:
    patient, image, mask, diagnosis = ((cells.get(name) or "").strip() for name in COLUMNS)
    for name, value in (("patient", patient), ("image", image)):
        if not value:
            raise CohortError(f"{name} is empty", _line(path, number), "fill it in")
    diagnosis = diagnosis.lower()
    if diagnosis not in DIAGNOSES:
        raise CohortError(
            f"diagnosis is {diagnosis!r}", _line(path, number), "write negative or positive"
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
    text = (cells.get(SPACING) or "").strip()
    if not text:
        return None
    with suppress(ValueError):
        side = float(text)
        if MIN_PIXEL_MM <= side <= MAX_PIXEL_MM:
            return side
    raise CohortError(
        f"{SPACING} is {text!r}",
        _line(path, number),
        "write the side of a pixel in mm, such as 0.15, or leave it empty",
    )


def _split(path: Path, number: int, cells: dict[str, str | None]) -> Split | None:
    if SPLIT not in cells:
        return None
    text = (cells[SPLIT] or "").strip().lower()
    for split in SPLITS:
        if text == split:
            return split
    raise CohortError(
        f"split is {text!r}",
        _line(path, number),
        "write train, val or test in every line, or leave out the column to divide the patients at "
        "random",
    )


def _line(path: Path, number: int) -> str:
    return f"{path}, line {number}"


def _require_consistent(path: Path, rows: list[TableRow]) -> None:
    diagnosis: dict[str, bool] = {}
    splits: dict[str, Split | None] = {}
    images: set[Path] = set()
    for number, row in enumerate(rows, start=2):
        if row.image in images:
            raise CohortError(
                f"{row.image.name} is listed twice", _line(path, number), "keep one line per film"
            )
        images.add(row.image)
        if diagnosis.setdefault(row.patient, row.positive) != row.positive:
            raise CohortError(
                f"patient {row.patient} has both diagnoses",
                _line(path, number),
                "give all films of a patient the same diagnosis",
            )
        if splits.setdefault(row.patient, row.split) != row.split:
            raise CohortError(
                f"patient {row.patient} is in two splits",
                _line(path, number),
                "put all films of a patient into the same split",
            )
