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
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Store:
    """The results of a study.

    Attributes:
        study: its name, and its archive's.
        out: folder of the cells at work; gigabytes.
        archive: a small folder of archives; None: nothing is kept apart.
    """

    study: str
    out: Path
    archive: Path | None = None

    def folder(self, cell: Cell) -> Path:
        """Where a cell is worked at."""
        return self.out / f"{cell.name}.{cell.digest}"

    def worked_out(self, cell: Cell) -> bool:
        """Whether a cell was done here, so that its files are at hand."""
        return (self.folder(cell) / DONE).exists()

    def spent(self, cell: Cell) -> float:
        """CPU-seconds that went into what is kept of a cell that is not done."""
        path = self.folder(cell) / SECONDS
        return TypeAdapter(float).validate_python(_json(path)) if path.exists() else 0.0

    def read(self, cell: Cell) -> Result:
        """The result of a cell that was done here.

        Raises:
            RunError: it is damaged, or was computed with another torch.
        """
        folder = self.folder(cell)
        record = _json(folder / DONE)
        if record["torch"] != torch.__version__:
            raise RunError(
                f"{folder}: computed with torch {record['torch']}, and this is "
                f"{torch.__version__}; choose another --out"
            )
        arrays = read_arrays(folder / ARRAYS) if (folder / ARRAYS).exists() else {}
        return Result(record["facts"], arrays, record["cpu_seconds"])

    def write(self, cell: Cell, result: Result) -> None:
        """Keep the result of a cell that is done."""
        folder = self.folder(cell)
        if result.arrays:
            write_arrays(folder / ARRAYS, result.arrays)
        write_json(folder / DONE, {"torch": torch.__version__, **_record(cell, result)})

    def archived(self, cells: Sequence[Cell]) -> dict[str, Record]:
        """Name -> record of every cell in the archive.

        Raises:
            RunError: it is damaged, or one of ``cells`` is in it with other parameters.
        """
        path = self._archive(".json")
        if path is None or not path.exists():
            return {}
        records: dict[str, Record] = _json(path)["cells"]
        for cell in cells:
            record = records.get(cell.name)
            if record and (difference := _difference(record, cell.identity)):
                raise RunError(
                    f"{path}: {cell.name} was computed from something else ({difference}); choose "
                    "another --archive"
                )
        return records

    def results(self, cells: Sequence[Cell]) -> dict[str, Result]:
        """Name -> result of every cell that is done, here or in the archive.

        Raises:
            RunError: a result is damaged.
        """
        records, path = self.archived(cells), self._archive(".npz")
        arrays = read_arrays(path) if path and path.exists() else {}
        found = {}
        for cell in cells:
            if record := records.get(cell.name):
                own = {
                    name.rpartition("/")[2]: array
                    for name, array in arrays.items()
                    if name.rpartition("/")[0] == cell.name
                }
                found[cell.name] = Result(record["facts"], own, record["cpu_seconds"])
            elif self.worked_out(cell):
                found[cell.name] = self.read(cell)
        return found

    def done(self, cells: Sequence[Cell]) -> set[str]:
        """Names of the cells that are done, here or in the archive."""
        records = self.archived(cells)
        return {cell.name for cell in cells if cell.name in records or self.worked_out(cell)}

    def require_same_torch(self) -> None:
        """Refuse to add to an archive of another torch.

        Raises:
            RunError: it is one.
        """
        path = self._archive(".json")
        if path and path.exists() and (made_with := _json(path)["torch"]) != torch.__version__:
            raise RunError(
                f"{path}: computed with torch {made_with}, and this is {torch.__version__}; choose "
                "another --archive, or print what is complete by --only report"
            )

    def keep(self, cells: Sequence[Cell]) -> None:
        """Copy what was done here into the archive, beside any other process that does the same.

        Raises:
            RunError: a result or the archive is damaged, or of another torch or other parameters.
        """
        json_path, npz_path = self._archive(".json"), self._archive(".npz")
        if self.archive is None or json_path is None or npz_path is None:
            return
        self.archive.mkdir(parents=True, exist_ok=True)
        with lock(self.archive / f".{self.study}.lock"):
            records = self.archived(cells)
            new = [c for c in cells if self.worked_out(c) and c.name not in records]
            if not new:
                return
            self.require_same_torch()
            results = {cell.name: self.read(cell) for cell in new}
            added = {
                f"{name}/{array}": values
                for name, result in results.items()
                for array, values in result.arrays.items()
            }
            if added:
                write_arrays(npz_path, (read_arrays(npz_path) if npz_path.exists() else {}) | added)
            records |= {cell.name: _record(cell, results[cell.name]) for cell in new}
            head = {"study": self.study, "torch": torch.__version__}
            write_json(json_path, {**head, "cells": records})

    def _archive(self, suffix: str) -> Path | None:
        return self.archive and self.archive / f"{self.study}{suffix}"


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Hold a folder for this process alone while the block runs; False: another one holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(lock(folder / CLAIM, timeout_s=0))
        except LockedError:
            mine = False
        else:
            mine = True
        yield mine


def _record(cell: Cell, result: Result) -> Record:
    measured = {"facts": result.facts, "cpu_seconds": result.cpu_seconds}
    return cell.identity | measured


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first few values of ``now`` that are others than before; empty: none."""
    old, new = _flat({key: before.get(key) for key in now}), _flat(now)
    changed = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    return ", ".join(f"{name} {old.get(name)} -> {new.get(name)}" for name in changed[:3])


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error}); remove it, and run again") from error


def read_arrays(path: Path) -> Arrays:
    """The arrays of an NPZ file.

    Raises:
        RunError: it cannot be read.
    """
    try:
        # The stream is ours: on a damaged file numpy leaves its own open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise RunError(f"{path}: cannot be read ({error}); remove it, and run again") from error


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write an NPZ file whole or not at all."""
    with replacing(path) as stream:
        np.savez_compressed(stream, allow_pickle=False, **{k: arrays[k] for k in sorted(arrays)})
