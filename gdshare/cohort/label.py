"""Cutting and labelling a table of films into a cohort, one film in memory at a time."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from gdshare.cohort.split import DEFAULT_FRACTIONS, SPLITS, Split, split_patients
from gdshare.cohort.store import FULL_SCALE, INDEX, CohortFilm, CohortIndex, SplitCounts
from gdshare.cohort.table import TableRow, read_table
from gdshare.errors import CohortError, UsageError
from gdshare.films import read_film
from gdshare.films.outlines import read_annotations
from gdshare.labels import DISCARDED, label_windows
from gdshare.patches import Grid, cut_rows, inside_fractions
from gdshare.protocol import PatchClass, Protocol
from gdshare.storage import new_folder, write_json


def label_cohort(
    table: Path,
    out: Path,
    protocol: Protocol,
    fractions: tuple[float, float, float] | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
    organ: str | None = None,
) -> CohortIndex:
    """Cut, label and split the films of ``table`` into the new folder ``out``.

    The folder appears whole or not at all. Memory stays that of one film, however many there are.

    Args:
        table: CSV, see ``read_table``.
        out: must not exist yet, or be empty.
        protocol: geometry and label rule.
        fractions: shares of training, validation and test patients; None: ``DEFAULT_FRACTIONS``,
            or as the table's own column ``split`` says.
        seed: decides the split, unless the table does.
        progress: called with (films done, films in all).
        organ: the outline's name, where masks are annotation files that hold several.

    Raises:
        CohortError, FilmError, UsageError: nothing is left behind.
    """
    rows = read_table(table)
    division = _divide(table, rows, fractions, seed)
    try:
        # Films' paths and patients' names: for the owner's eyes.
        with new_folder(out, 0o700) as folder:
            index = _label_into(folder, rows, division, protocol, organ, progress)
            write_json(folder / INDEX, index.model_dump(mode="json"))
    except FileExistsError as error:
        raise CohortError(
            "already exists", out, "choose another --out, or remove it first"
        ) from error
    return index


@dataclass(frozen=True)
class _Division:
    """Which patient goes where, and how that was decided: by a draw, or else by the table."""

    splits: Mapping[str, Split]
    fractions: tuple[float, float, float] | None = None
    seed: int | None = None


def _divide(
    table: Path,
    rows: list[TableRow],
    fractions: tuple[float, float, float] | None,
    seed: int,
) -> _Division:
    told = {row.patient: row.split for row in rows if row.split is not None}
    if not told:
        shares = fractions or DEFAULT_FRACTIONS
        diagnosis = {row.patient: row.positive for row in rows}
        return _Division(split_patients(diagnosis, shares, seed), shares, seed)
    if fractions is not None:
        raise UsageError(
            "has a column split, so --split has nothing to divide", table, "leave out one of them"
        )
    return _Division(told)


def _label_into(
    folder: Path,
    rows: list[TableRow],
    division: _Division,
    protocol: Protocol,
    organ: str | None,
    progress: Callable[[int, int], None],
) -> CohortIndex:
    annotations = lru_cache(maxsize=1)(read_annotations)  # one file may hold a whole cohort's

    def mask_of(film: CohortFilm, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
        if film.mask is None:
            raise CohortError("has no mask to label by", film.image, "outline the organ first")
        return annotations(film.mask).outline(shape, str(film.image), organ).inside

    tallies: dict[Split, Counter[str]] = {split: Counter() for split in SPLITS}
    sides: list[float] = []  # of a window on the patient, mm
    taught: dict[str, CohortFilm] = {}  # patients of whom at least one window was labelled
    films = tuple(
        CohortFilm(
            patient=row.patient,
            image=row.image.absolute(),
            mask=row.mask.absolute() if row.mask else None,
            positive=row.positive,
            split=division.splits[row.patient],
            spacing_mm=row.spacing_mm,
        )
        for row in rows
    )
    with ExitStack() as stack:
        writers = {split: stack.enter_context(_writer(folder, split, protocol)) for split in SPLITS}
        for number, film in enumerate(films):
            tallies[film.split]["films"] += 1
            if film.mask is not None:
                found, side = _label_film(film, number, protocol, mask_of, writers[film.split])
                tallies[film.split] += found
                sides += [] if side is None else [side]
                if found["i"] + found["n"] + found["p"]:
                    taught[film.patient] = film
            progress(number + 1, len(films))
    for film in taught.values():
        tallies[film.split]["positive" if film.positive else "negative"] += 1
    counts = {split: SplitCounts(**tally) for split, tally in tallies.items()}
    return CohortIndex(
        protocol=protocol,
        seed=division.seed,
        fractions=division.fractions,
        counts=counts,
        patch_mm=(min(sides), max(sides)) if sides else None,
        films=films,
    )


def _label_film(
    entry: CohortFilm,
    number: int,
    protocol: Protocol,
    mask_of: Callable[[CohortFilm, tuple[int, int]], npt.NDArray[np.bool_]],
    writer: "_Writer",
) -> tuple["Counter[str]", float | None]:
    """Cut one film, write its labelled windows; what became of each, and a window's side, mm."""
    film = read_film(entry.image, entry.spacing_mm)
    grid = Grid.on(film, protocol)
    inside = inside_fractions(mask_of(entry, film.shape), grid)
    labels = label_windows(inside, entry.positive, protocol)
    for row, windows in enumerate(cut_rows(film.scaled(), grid, protocol.side)):
        keep = labels[row] != DISCARDED
        if keep.any():
            writer.add(windows[keep], labels[row][keep], number)
    found = Counter({PatchClass(v).name.lower(): int((labels == v).sum()) for v in PatchClass})
    found["discarded"] = int((labels == DISCARDED).sum())
    return found, None if film.spacing is None else grid.patch * sum(film.spacing) / 2


class _NpyStream:
    """An .npy file that grows by rows; its header is rewritten in place when it closes.

    Numpy pads headers so that the first dimension can grow without moving the data.
    """

    def __init__(self, stream: BinaryIO, row_shape: tuple[int, ...], dtype: str) -> None:
        self._stream, self._row_shape, self._dtype, self._count = stream, row_shape, dtype, 0
        self._header()
        self._data_start = stream.tell()

    def add(self, rows: npt.NDArray[np.generic]) -> None:
        self._stream.write(np.ascontiguousarray(rows, self._dtype).data)
        self._count += len(rows)

    def finish(self) -> None:
        self._stream.seek(0)
        self._header()
        if self._stream.tell() != self._data_start:
            raise CohortError("numpy did not keep room for a growing header", remedy="report this")

    def _header(self) -> None:
        header = {"descr": self._dtype, "fortran_order": False}
        np.lib.format.write_array_header_1_0(
            self._stream, {**header, "shape": (self._count, *self._row_shape)}
        )


class _Writer:
    """The two growing files of one split."""

    def __init__(self, pixels: _NpyStream, windows: _NpyStream) -> None:
        self._pixels, self._windows = pixels, windows

    def add(
        self, windows: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8], film: int
    ) -> None:
        self._pixels.add(np.rint(np.clip(windows, 0, 1) * FULL_SCALE))
        self._windows.add(np.stack([labels, np.full(len(labels), film)], axis=1))


@contextmanager
def _writer(folder: Path, split: Split, protocol: Protocol) -> Iterator[_Writer]:
    with (
        (folder / f"{split}.patches.npy").open("wb") as pixels,
        (folder / f"{split}.windows.npy").open("wb") as windows,
    ):
        side = protocol.side
        streams = _NpyStream(pixels, (side, side), "<u2"), _NpyStream(windows, (2,), "<u4")
        yield _Writer(*streams)
        for stream in streams:
            stream.finish()
