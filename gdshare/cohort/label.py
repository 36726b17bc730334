"""Cutting and labelling a table of films into a cohort, with one film in memory at a time."""

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
from gdshare.cohort.table import TableRow, read_table, require_files
from gdshare.errors import CohortError, FilmError, UsageError
from gdshare.films import read_film
from gdshare.films.film import warn_of_narrow_range
from gdshare.films.outlines import AnnotationFile, read_annotations
from gdshare.labels import DISCARDED, label_windows
from gdshare.patches import Geometry, Grid, film_patches, film_side, inside_fractions
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

    The folder appears complete or not at all. Only one film is in memory at a time.

    Args:
        table: CSV, see ``read_table``.
        out: must not exist yet, or be empty.
        protocol: geometry and label rule.
        fractions: of training, validation and test patients; None: the table's column ``split`` if
            it has one, otherwise ``DEFAULT_FRACTIONS``.
        seed: of the random split; unused if the table divides the patients.
        progress: called with (films done, films in all).
        organ: the organ's label, if the masks are annotation files with several labels.

    Returns:
        the content of ``cohort.json``.

    Raises:
        CohortError: the table or ``out`` is not usable; or the outlined films of training or of
            validation patients gave no window of some class, and distillation would refuse them.
        FilmError: a film or mask is not usable.
        UsageError: the fractions are invalid, or given for a table with a column ``split``.
    """
    rows = read_table(table)
    require_files(rows)
    _require_utf8(rows)
    division = _divide(table, rows, fractions, seed)
    try:
        # For the owner only: the index has the films' paths and the patients' names.
        with new_folder(out, 0o700) as folder:
            cuts = _cut_into(folder, rows, division, protocol, organ, progress)
            _require_classes(table, cuts, protocol)
            index = _index_of(cuts, division, protocol)
            write_json(folder / INDEX, index.model_dump(mode="json"))
    except FileExistsError as error:
        raise CohortError(
            "already exists", out, "choose another --out, or remove it first"
        ) from error
    return index


def fitting_geometry(
    table: Path,
    protocol: Protocol,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Geometry:
    """The source's proportions for the films of a table.

    Args:
        table: CSV, see ``read_table``.
        protocol: its pixel size, if it sets one, is the one that the geometry counts in.
        progress: called with (films measured, films in all).

    Raises:
        CohortError: the table is not usable.
        FilmError: a film is not usable, or of unknown pixel size where the protocol sets one.
    """
    rows = read_table(table)
    require_files(rows)
    outlined = [row for row in rows if row.mask is not None] or rows
    sides = []
    for row in outlined:
        with _locating(row):
            sides.append(film_side(read_film(row.image, row.spacing_mm), protocol))
        progress(len(sides), len(outlined))
    return Geometry.for_sides(sides)


def _require_utf8(rows: list[TableRow]) -> None:
    """Refuse names that ``cohort.json`` cannot hold, before the films are cut."""
    for path in (path for row in rows for path in (row.image, row.mask) if path is not None):
        try:
            str(path).encode()
        except UnicodeEncodeError as error:
            raise CohortError(
                "has a name that is not UTF-8, which a cohort cannot record",
                path,
                "rename it, or the folder above it",
            ) from error


@dataclass(frozen=True)
class _Division:
    """Each patient's split; fractions and seed of the draw, None if the table decides."""

    splits: Mapping[str, Split]
    fractions: tuple[float, float, float] | None = None
    seed: int | None = None


def _divide(
    table: Path,
    rows: list[TableRow],
    fractions: tuple[float, float, float] | None,
    seed: int,
) -> _Division:
    splits = {row.patient: row.split for row in rows if row.split is not None}
    if not splits:
        drawn = fractions or DEFAULT_FRACTIONS
        diagnosis = {row.patient: row.positive for row in rows}
        return _Division(split_patients(diagnosis, drawn, seed), drawn, seed)
    if fractions is not None:
        raise UsageError(
            "has a column split, so --split has nothing to divide", table, "leave out one of them"
        )
    return _Division(splits)


@dataclass(frozen=True)
class _Cut:
    """The result of cutting a film.

    Attributes:
        film: its entry in the index.
        windows: number of windows ``i``, ``n``, ``p`` and ``discarded``; empty without a mask.
        side: of the film, px of the protocol; None without a mask.
        side_mm: side of a window on the patient, mm; None if unknown, or without a mask.
    """

    film: CohortFilm
    windows: Counter[str]
    side: float | None = None
    side_mm: float | None = None


def _cut_into(
    folder: Path,
    rows: list[TableRow],
    division: _Division,
    protocol: Protocol,
    organ: str | None,
    progress: Callable[[int, int], None],
) -> list[_Cut]:
    # A file may contain the outlines of a whole cohort.
    annotations = lru_cache(maxsize=1)(read_annotations)
    cuts: list[_Cut] = []
    with ExitStack() as stack:
        writers = {split: stack.enter_context(_writer(folder, split, protocol)) for split in SPLITS}
        for row in rows:
            film = CohortFilm(
                patient=row.patient,
                image=row.image.absolute(),
                mask=row.mask.absolute() if row.mask else None,
                positive=row.positive,
                split=division.splits[row.patient],
                spacing_mm=row.spacing_mm,
            )
            writer = writers[film.split]
            with _locating(row):
                cuts.append(_cut_film(film, len(cuts), protocol, annotations, organ, writer))
            progress(len(cuts), len(rows))
    return cuts


@contextmanager
def _locating(row: TableRow) -> Iterator[None]:
    """Name the table's line in errors about its film or mask."""
    try:
        yield
    except FilmError as error:
        raise error.at(row.line) from error


def _require_classes(table: Path, cuts: list[_Cut], protocol: Protocol) -> None:
    """Refuse films that distillation could not use, and say which windows would fit them."""
    missing = []
    for split, name in (("train", "training"), ("val", "validation")):
        outlined = [cut for cut in cuts if cut.film.split == split and cut.film.mask is not None]
        windows: Counter[str] = sum((cut.windows for cut in outlined), Counter())
        absent = [label.name for label in PatchClass if not windows[label.name.lower()]]
        if outlined and absent:
            missing.append(f"no {name} window of class {', '.join(absent)}")
    if missing:
        sides = [cut.side for cut in cuts if cut.side is not None]
        fitting = Geometry.for_sides(sides)
        raise CohortError(" and ".join(missing), table, _remedy(sides, fitting, protocol))


def _remedy(sides: list[float], fitting: Geometry, protocol: Protocol) -> str:
    others = "add films, or change the outlines or the split"
    if fitting == Geometry(protocol.patch, protocol.stride):
        return others
    low, high = (f"{side:.0f}" for side in (min(sides), max(sides)))
    pixels = "px" if protocol.resample_mm is None else f"pixels of {protocol.resample_mm:g} mm"
    return (
        f"films are {low if low == high else f'{low} to {high}'} {pixels}: the source's windows "
        f"would be {fitting} (--patch auto takes them); if that is not it, {others}"
    )


def _index_of(cuts: list[_Cut], division: _Division, protocol: Protocol) -> CohortIndex:
    sides = [cut.side_mm for cut in cuts if cut.side_mm is not None]
    return CohortIndex(
        protocol=protocol,
        seed=division.seed,
        fractions=division.fractions,
        counts={
            split: _counts([cut for cut in cuts if cut.film.split == split]) for split in SPLITS
        },
        patch_mm=(min(sides), max(sides)) if sides else None,
        films=tuple(cut.film for cut in cuts),
    )


def _counts(cuts: list[_Cut]) -> SplitCounts:
    windows: Counter[str] = sum((cut.windows for cut in cuts), Counter())
    labelled = {
        cut.film.patient: cut.film.positive
        for cut in cuts
        if cut.windows.total() > cut.windows["discarded"]
    }
    positive = sum(labelled.values())
    return SplitCounts(
        negative=len(labelled) - positive, positive=positive, films=len(cuts), **windows
    )


def _cut_film(
    film: CohortFilm,
    number: int,
    protocol: Protocol,
    annotations: Callable[[Path], AnnotationFile],
    organ: str | None,
    writer: "_Writer",
) -> _Cut:
    """Cut a film and write its labelled windows."""
    if film.mask is None:
        return _Cut(film, Counter())
    image = read_film(film.image, film.spacing_mm)
    warn_of_narrow_range(image)
    grid = Grid.on(image, protocol)
    mask = annotations(film.mask).outline(image.shape, str(film.image), organ).inside
    labels = label_windows(inside_fractions(mask, grid), film.positive, protocol)
    for row, windows in enumerate(film_patches(image, grid, protocol)):
        keep = labels[row] != DISCARDED
        if keep.any():
            writer.add(windows[keep], labels[row][keep], number)
    counts = Counter({label.name.lower(): int((labels == label).sum()) for label in PatchClass})
    counts["discarded"] = int((labels == DISCARDED).sum())
    side_mm = None if image.spacing is None else grid.patch * sum(image.spacing) / 2
    return _Cut(film, counts, film_side(image, protocol), side_mm)


class _NpyStream:
    """An .npy file that grows by rows; ``finish`` rewrites its header in place.

    Numpy pads the header so that the first dimension can grow without moving the data.
    """

    def __init__(self, stream: BinaryIO, row_shape: tuple[int, ...], dtype: str) -> None:
        self._stream, self._row_shape, self._dtype, self._count = stream, row_shape, dtype, 0
        self._write_header()
        self._data_start = stream.tell()

    def add(self, rows: npt.NDArray[np.generic]) -> None:
        self._stream.write(np.ascontiguousarray(rows, self._dtype).data)
        self._count += len(rows)

    def finish(self) -> None:
        self._stream.seek(0)
        self._write_header()
        if self._stream.tell() != self._data_start:
            raise CohortError("numpy left no room for the header to grow", remedy="report this")

    def _write_header(self) -> None:
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
        """Append windows [n, side, side] in [0, 1] and labels [n] of the film with this index."""
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
