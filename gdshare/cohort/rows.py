"""The rows of a CSV table as a spreadsheet saves it, each with its line in the file.

Cells are separated by commas, semicolons or tabs: the first line decides. The text is UTF-8, or
UTF-16 with a byte-order mark. Column names may have blanks around them and capitals in them. Empty
lines, and lines of empty cells, may stand anywhere.
"""

import codecs
import csv
import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gdshare.errors import CohortError
from gdshare.plain_files import MAX_TABLE, read_plain

log = logging.getLogger(__name__)

DELIMITERS = (",", ";", "\t")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        line: number of its first line in the file, from 1.
        cells: column -> text without surrounding blanks; every required column is present.
    """

    line: int
    cells: dict[str, str]


def read_rows(path: Path, required: Sequence[str], optional: Sequence[str]) -> list[Row]:
    """Read the rows of a table; columns that are neither required nor optional are left out.

    Raises:
        CohortError: the file is missing, no plain file, too large or no CSV; a column is missing or
            stands there twice; a row has another number of cells than the first line; or there is
            no row. The error names the line.
    """
    text = _text(path)
    known = (*required, *optional)
    lines = _filled(path, text, _delimiter(text, known))
    _, first = next(lines, (1, []))
    columns = _columns(path, first, required, known)
    rows = [Row(line, _cells(path, line, columns, cells, known)) for line, cells in lines]
    if not rows:
        raise CohortError("lists no film", path, "add one line per film")
    return rows


def place(path: Path, line: int) -> str:
    """A line of a table, as errors name it."""
    return f"{path}, line {line}"


def _text(path: Path) -> str:
    try:
        content = read_plain(path, MAX_TABLE)
    except FileNotFoundError as error:
        raise CohortError("no such table", path, "give the path of the cohort's CSV") from error
    except OSError as error:
        raise CohortError(f"cannot be read ({error.strerror})", path, "check the path") from error
    encoding = "utf-16" if content.startswith(_UTF_16) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CohortError(
            "is not a UTF-8 CSV file", place(path, line), "save it as CSV UTF-8"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise CohortError(
            "is not a UTF-8 CSV file: it has a NUL character",
            place(path, line),
            "save it as CSV UTF-8",
        )
    return text


def _delimiter(text: str, known: Sequence[str]) -> str:
    """The delimiter that separates the most known columns in the first line that has text."""
    head = next((line for line in text.splitlines() if line.strip()), "")

    def recognised(delimiter: str) -> int:
        cells = next(csv.reader([head], delimiter=delimiter))
        return len(set(map(_column, cells)) & set(known))

    return max(DELIMITERS, key=recognised)


def _column(cell: str) -> str:
    return cell.strip().lower()


def _filled(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows with text in them, each with the number of its first line."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    end = 0
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield end + 1, [cell.strip() for cell in cells]
            end = reader.line_num
    except csv.Error as error:
        raise CohortError(
            f"is not a UTF-8 CSV file from here on ({error})",
            place(path, end + 1),
            "look for a quotation mark without its partner",
        ) from error


def _columns(
    path: Path, first: list[str], required: Sequence[str], known: Sequence[str]
) -> list[str]:
    columns = [_column(cell) for cell in first]
    while columns and not columns[-1]:  # a spreadsheet once had more columns
        columns.pop()
    named = ", ".join(filter(None, columns))
    for name in required:
        if name not in columns:
            raise CohortError(
                f"has no column {name}" + (f", only {named}" if named else ""),
                path,
                f"name the columns in the first line: {','.join(required)}",
            )
    for name in known:
        if columns.count(name) > 1:
            raise CohortError(f"has two columns {name}", path, "keep one of them")
    if others := [name or "(without a name)" for name in columns if name not in known]:
        log.warning("%s: columns left out: %s", path, ", ".join(others))
    return columns


def _cells(
    path: Path, line: int, columns: list[str], cells: list[str], known: Sequence[str]
) -> dict[str, str]:
    if len(cells) < len(columns) or any(cells[len(columns) :]):
        raise CohortError(
            f"has {len(cells)} cells for {len(columns)} columns",
            place(path, line),
            "fill in or remove cells, and put text that has the delimiter in it in quotation marks",
        )
    named = zip(columns, cells, strict=False)  # what follows the last column is empty
    return {name: cell for name, cell in named if name in known}
