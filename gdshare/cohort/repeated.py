"""What lines of a table say twice: patients, films and masks under one spelling or several.

Patients come as ``gdshare.spelling`` writes them. Films are compared as files, whatever the path: a
link, ``..`` or another case. Otherwise one person could be in training and in test.
"""

import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gdshare.cohort.rows import place
from gdshare.errors import CohortError
from gdshare.plain_files import open_plain, require_plain
from gdshare.spelling import folded_name

log = logging.getLogger(__name__)

_RASTERS = (b"\x89PNG", b"II", b"MM")
_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True)
class Entry:
    """What a line says of a film: its number, and None for what it leaves open."""

    line: int
    patient: str
    image: Path
    mask: Path | None
    positive: bool | None
    split: str | None


def require_consistent(table: Path, entries: Sequence[Entry]) -> None:
    """Refuse contradictions within a table, and warn of what may be a mistake.

    Raises:
        CohortError: a film is listed twice, or is its own mask; or a patient has two diagnoses, or
            is in two splits. The error names both lines.
    """
    _require_films_once(table, entries)
    for entry, earlier in _with_first(entries, lambda entry: entry.patient, _diagnosed):
        if entry.positive != earlier.positive:
            raise CohortError(
                f"patient {entry.patient} has both diagnoses, another in line {earlier.line}",
                place(table, entry.line),
                "give all films of a patient the same diagnosis",
            )
    for entry, earlier in _with_first(entries, lambda entry: entry.patient):
        if entry.split != earlier.split:
            raise CohortError(
                f"patient {entry.patient} is in two splits, {entry.split} here and "
                f"{earlier.split} in line {earlier.line}",
                place(table, entry.line),
                "put all films of a patient into the same split",
            )
    _warn_of_similar_patients(table, entries)
    _warn_of_shared_masks(table, entries)


def require_different_pictures(table: Path, entries: Sequence[Entry]) -> None:
    """Refuse copies of a film under other names. Files of a size of their own are not read.

    Raises:
        CohortError: two files have the same bytes. The error names both lines.
    """
    groups = [list(entries)]
    for key in (_size, _head_digest, _digest):
        groups = [part for group in groups for part in _alike(group, key)]
    for group in groups:
        first, second = group[:2]
        whose = "one patient" if first.patient == second.patient else "two patients"
        raise CohortError(
            f"{second.image.name} is a copy of {first.image.name} in line {first.line}: one film, "
            f"listed twice for {whose}",
            place(table, second.line),
            "find out whose film it is, and keep one line",
        )


def _require_films_once(table: Path, entries: Sequence[Entry]) -> None:
    for entry, earlier in _with_first(entries, lambda entry: _file(entry.image)):
        if entry.patient == earlier.patient:
            remedy, again = "keep one line per film", f"as in line {earlier.line}"
        else:
            remedy = "find out whose film it is, and keep one line"
            again = f"in line {earlier.line} for patient {earlier.patient}"
        raise CohortError(
            f"{entry.image.name} is listed twice, {again}", place(table, entry.line), remedy
        )
    for entry in entries:
        if entry.mask is not None and _file(entry.mask) == _file(entry.image):
            raise CohortError(
                f"{entry.image.name} is given as its own mask",
                place(table, entry.line),
                "name the file of the organ's mask, or leave the cell empty",
            )


def _diagnosed(entry: Entry) -> bool:
    return entry.positive is not None


def _with_first(
    entries: Iterable[Entry],
    key: Callable[[Entry], Hashable],
    chosen: Callable[[Entry], bool] = lambda entry: True,
) -> list[tuple[Entry, Entry]]:
    """Each of the chosen entries whose key has occurred, with the first entry of that key."""
    first: dict[Hashable, Entry] = {}
    pairs = [(entry, first.setdefault(key(entry), entry)) for entry in filter(chosen, entries)]
    return [(entry, earlier) for entry, earlier in pairs if entry is not earlier]


def _file(path: Path) -> Hashable:
    """Equal for all paths to a file; for a file that is missing, the path without links."""
    with suppress(OSError, ValueError):
        status = path.stat()
        if status.st_ino:
            return status.st_dev, status.st_ino
    return os.path.realpath(path)


def _warn_of_similar_patients(table: Path, entries: Sequence[Entry]) -> None:
    patients: dict[str, Entry] = {}
    for entry in entries:
        patients.setdefault(entry.patient, entry)
    for entry, earlier in _with_first(patients.values(), lambda entry: folded_name(entry.patient)):
        log.warning(
            "%s: patients %s (line %d) and %s (line %d) differ only in capitals, width or "
            "invisible characters, and count as two; if they are one, write the name in one way",
            table,
            earlier.patient,
            earlier.line,
            entry.patient,
            entry.line,
        )


def _warn_of_shared_masks(table: Path, entries: Sequence[Entry]) -> None:
    """Name masks of several films, but for annotation files, which may hold all outlines."""
    users: dict[Hashable, list[tuple[int, Path]]] = defaultdict(list)
    for entry in entries:
        if entry.mask is not None:
            users[_file(entry.mask)].append((entry.line, entry.mask))
    for lines in users.values():
        (first, mask), *others = lines
        if others and _is_raster(mask):
            log.warning(
                "%s: %s is the mask of %d films, such as in lines %d and %d; check that it fits "
                "each of them",
                table,
                mask.name,
                len(lines),
                first,
                others[0][0],
            )


def _is_raster(path: Path) -> bool:
    with suppress(OSError), open_plain(path) as stream:
        return stream.read(4).startswith(_RASTERS)
    return False


def _alike(entries: Sequence[Entry], key: Callable[[Path], Hashable]) -> list[list[Entry]]:
    """The entries in groups of equal keys; those without a like, or that cannot be read, go."""
    groups: dict[Hashable, list[Entry]] = defaultdict(list)
    for entry in entries:
        with suppress(OSError, ValueError):
            groups[key(entry.image)].append(entry)
    return [group for group in groups.values() if len(group) > 1]


def _size(path: Path) -> int:
    require_plain(path)
    return path.stat().st_size


def _head_digest(path: Path) -> bytes:
    with open_plain(path) as stream:
        return hashlib.sha256(stream.read(_HEAD_BYTES)).digest()


def _digest(path: Path) -> bytes:
    with open_plain(path) as stream:
        return hashlib.file_digest(stream, "sha256").digest()
