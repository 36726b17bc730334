"""Where results lie: a folder for each cell at work, and one archive for a whole study."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import torch
from pydantic import TypeAdapter

from gdshare.errors import LockedError, RunError
from gdshare.lock import lock
from gdshare.storage import replacing, write_json
from studies.runner.cell import SECONDS, Cell, Result

CLAIM, DONE, ARRAYS = "claim", "done.json", "arrays.npz"

Record = dict[str, Any]
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Store:
    """The results of a study.

    Every method raises RunError for what is damaged, or was computed with another torch or with
    other parameters.
    """

    study: str  # its name, and its archive's
    out: Path  # folder of the cells at work; gigabytes
    archive: Path | None = None  # a small folder of archives; None: nothing is kept apart

    def folder(self, cell: Cell) -> Path:
        """Where a cell is worked at."""
        return self.out / f"{cell.name}.{cell.digest}"

    def worked_out(self, cell: Cell) -> bool:
        """Whether a cell was done here, so that its files are at hand."""
        return (self.folder(cell) / DONE).exists()

    def spent(self, cell: Cell) -> float:
        """CPU-seconds that went into what is kept of a cell that is not done."""
        path = self.folder(cell) / SECONDS
        return TypeAdapter(float).validate_python(_read_json(path)) if path.exists() else 0.0

    def read(self, cell: Cell) -> Result:
        """The result of a cell that was done here, with this torch."""
        folder = self.folder(cell)
        record = _read_json(folder / DONE)
        _require_this_torch(record, folder, "choose another --out")
        arrays = read_arrays(folder / ARRAYS) if (folder / ARRAYS).exists() else {}
        return Result(record["facts"], arrays, record["cpu_seconds"])

    def write(self, cell: Cell, result: Result) -> None:
        folder = self.folder(cell)
        if result.arrays:
            write_arrays(folder / ARRAYS, result.arrays)
        write_json(folder / DONE, {"torch": torch.__version__, **_record(cell, result)})

    def archived(self, cells: Sequence[Cell]) -> dict[str, Record]:
        """Name -> record of every cell in the archive; RunError if one has other parameters."""
        records: dict[str, Record] = self._head().get("cells", {})
        for cell in cells:
            for key, value in cell.identity.items():
                if records.get(cell.name, cell.identity)[key] != value:
                    what = f"{cell.name} was computed with other {key}"
                    raise RunError(what, self._archive(".json"), "choose another --archive")
        return records

    def results(self, cells: Sequence[Cell]) -> dict[str, Result]:
        """Name -> result of every cell that is done, here or in the archive."""
        records, path = self.archived(cells), self._archive(".npz")
        arrays: dict[str, dict[str, npt.NDArray[Any]]] = {name: {} for name in records}
        for key, array in read_arrays(path).items() if path.exists() else ():
            name, _, own = key.rpartition("/")
            arrays[name][own] = array
        found = {cell.name: self.read(cell) for cell in cells if self.worked_out(cell)}
        return found | {
            cell.name: Result(record["facts"], arrays[cell.name], record["cpu_seconds"])
            for cell in cells
            if (record := records.get(cell.name))
        }

    def done(self, cells: Sequence[Cell]) -> set[str]:
        """Names of the cells that are done, here or in the archive."""
        records = self.archived(cells)
        return {cell.name for cell in cells if cell.name in records or self.worked_out(cell)}

    def require_same_torch(self) -> None:
        """Refuse to add to an archive of another torch."""
        remedy = "choose another --archive, or print what is complete by --only report"
        if head := self._head():
            _require_this_torch(head, self._archive(".json"), remedy)

    def keep(self, cells: Sequence[Cell]) -> None:
        """Copy what was done here into the archive, beside any other process that does the same."""
        if self.archive is None:
            return
        self.archive.mkdir(parents=True, exist_ok=True)
        with lock(self._archive(".lock", hidden=True)):
            records = self.archived(cells)
            new = [cell for cell in cells if self.worked_out(cell) and cell.name not in records]
            if not new:
                return
            self.require_same_torch()
            arrays, path = dict[str, npt.NDArray[Any]](), self._archive(".npz")
            for cell in new:
                result = self.read(cell)
                records[cell.name] = _record(cell, result)
                arrays |= {f"{cell.name}/{own}": array for own, array in result.arrays.items()}
            if arrays:
                write_arrays(path, (dict(read_arrays(path)) if path.exists() else {}) | arrays)
            head = {"study": self.study, "torch": torch.__version__}
            write_json(self._archive(".json"), {**head, "cells": records})

    def _archive(self, suffix: str, hidden: bool = False) -> Path:
        return (self.archive or self.out) / f"{'.' * hidden}{self.study}{suffix}"

    def _head(self) -> Record:
        path = self._archive(".json")
        return dict(_read_json(path)) if self.archive and path.exists() else {}


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Hold a folder for this process alone while the block runs; False: another one holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        mine = True
        try:
            stack.enter_context(lock(folder / CLAIM, timeout_s=0))
        except LockedError:
            mine = False
        yield mine


def read_arrays(path: Path) -> Arrays:
    try:
        # The stream is ours: on a damaged file numpy leaves its own open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise RunError(f"cannot be read ({error})", path, "remove it, and run again") from error


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write an NPZ file whole or not at all."""
    with replacing(path) as stream:
        np.savez_compressed(stream, allow_pickle=False, **{k: arrays[k] for k in sorted(arrays)})


def _record(cell: Cell, result: Result) -> Record:
    return cell.identity | {"facts": result.facts, "cpu_seconds": result.cpu_seconds}


def _require_this_torch(record: Record, where: Path, remedy: str) -> None:
    if record["torch"] != torch.__version__:
        what = f"computed with torch {record['torch']}, and this is {torch.__version__}"
        raise RunError(what, where, remedy)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RunError(f"cannot be read ({error})", path, "remove it, and run again") from error
