"""One runner for every study: cells done once, shared by processes, resumed, kept in one archive.

A study declares cells: a function, its parameters, a seed, the cells it needs, and the CPU-seconds
it expects. ``run`` says what is left and what it will take, and does it.

- **Done once.** A cell's digest covers its name, version, parameters, seed, and the digests of what
  it needs. Its folder is ``OUT/NAME.DIGEST``, so changed parameters never meet old results. Raise
  ``version`` when the function comes to compute something else. Where things lie on this machine is
  no parameter: bind it to the function with ``functools.partial``.
- **In pieces.** A cell is worked at in pieces of at most ``PIECE_S`` CPU-seconds. One that expects
  more must be ``resumable``: it saves its state and calls ``piece.keep()``, or asks ``piece.over``
  where it has to save first. A killed process loses what came after the last ``keep``.
- **Shared.** Processes given the same command share the cells by locks, which die with them.
- **Archive.** ``ARCHIVE/STUDY.json`` holds every cell's parameters, seed, needs, facts and
  CPU-seconds, ``STUDY.npz`` its arrays as ``NAME/ARRAY``. A cell in it is not done again, unless
  one still to be done needs its files; one in it with other parameters is refused.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import torch
from pydantic import JsonValue, TypeAdapter
from pydantic_core import to_jsonable_python

from gdshare.errors import GdshareError, LockedError, RunError
from gdshare.lock import lock
from gdshare.protocol import Versioned
from gdshare.storage import replacing, write_bytes, write_json

PIECE_S = 1200.0
"""CPU-seconds of a piece, at most."""

SECONDS, CLAIM, DONE, ARRAYS = "seconds.json", "claim", "done.json", "arrays.npz"

Facts = dict[str, JsonValue]
Record = dict[str, Any]
Arrays = Mapping[str, npt.NDArray[Any]]
Say = Callable[[str], None]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Result:
    """What is known of a cell that is done."""

    facts: Facts = field(default_factory=dict)
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)  # too many for the facts
    cpu_seconds: float = 0.0  # over all its pieces; the runner fills it in

    def number(self, name: str) -> float:
        return TypeAdapter(float).validate_python(self.facts[name])

    def numbers(self, name: str) -> list[float]:
        return TypeAdapter(list[float]).validate_python(self.facts[name])


@dataclass(frozen=True)
class Needed:
    """A cell that another one needed: where its files lie, and its result."""

    folder: Path
    result: Result


class PieceOverError(GdshareError):
    """This piece of a cell has had its CPU-seconds; what was kept is taken up by the next."""


def cpu_seconds() -> float:
    """CPU-seconds of this process and of the children that it has waited for."""
    spent = os.times()
    return time.process_time() + spent.children_user + spent.children_system


@dataclass(frozen=True)
class Piece:
    """A cell at work in this process."""

    folder: Path  # the cell's; what an earlier piece kept is in it
    seed: int = 0
    needs: Mapping[str, Needed] = field(default_factory=dict)  # by role
    before: float = 0.0  # CPU-seconds of earlier pieces, as far as what they did was kept
    began: float = 0.0  # the clock at the start of this piece
    deadline: float = float("inf")  # the clock at which it is over
    clock: Callable[[], float] = cpu_seconds

    @property
    def spent(self) -> float:
        """CPU-seconds of the cell so far."""
        return self.before + self.clock() - self.began

    @property
    def over(self) -> bool:
        """Whether to save and stop; ``keep`` then ends the piece."""
        return self.clock() >= self.deadline

    def keep(self) -> None:
        """Count what is spent so far: a further part of the cell is safe on the disk.

        Raises:
            PieceOverError: the piece is over. Let it pass.
        """
        write_json(self.folder / SECONDS, self.spent)
        if self.over:
            raise PieceOverError("this piece is over", self.folder)


def _plain(value: Any) -> Any:
    """As plain data, without what is implied: an archive of before a field was added stays good."""
    if isinstance(value, Versioned):
        return to_jsonable_python(value.model_dump(exclude=value.implied))
    if is_dataclass(value):
        return {entry.name: _plain(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return to_jsonable_python(value)


@dataclass(frozen=True, eq=False)
class Cell:
    """A part of a study that is done by itself.

    The function works in ``piece.folder``, and goes on with what the last piece kept there. The
    parameters are all that decides the result beside the seed and what the cell needs: a dataclass,
    a pydantic model, or plain data.
    """

    name: str  # of its folder, and in the archive
    kind: str  # what ``--only`` calls it
    function: Callable[[Piece, Any], Result]
    parameters: object
    seed: int = 0
    needs: Mapping[str, "Cell"] = field(default_factory=dict)  # by role; they are done first
    cpu_seconds: float = 1.0  # expected
    resumable: bool = False  # the function calls ``piece.keep``
    version: int = 1  # of what the function computes

    def __post_init__(self) -> None:
        if self.cpu_seconds > PIECE_S and not self.resumable:
            raise ValueError(f"{self.name}: more than {PIECE_S:.0f} CPU-seconds, not resumable")

    @cached_property
    def identity(self) -> Facts:
        """All that decides its result, as plain data; what it needs is given by name."""
        return {
            "version": self.version,
            "parameters": _plain(self.parameters),
            "seed": self.seed,
            "needs": {role: cell.name for role, cell in self.needs.items()},
        }

    @cached_property
    def digest(self) -> str:
        """Of its name, its identity, and the digests of what it needs: 16 hexadecimal digits."""
        needs = [cell.digest for cell in self.needs.values()]
        text = json.dumps([self.name, self.identity, needs], sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


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
        here = {cell.name: self.read(cell) for cell in cells if self.worked_out(cell)}
        return here | {
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
            write_bytes(self._archive(".json"), archive_text(head, records).encode())

    def _archive(self, suffix: str, hidden: bool = False) -> Path:
        return (self.archive or self.out) / f"{'.' * hidden}{self.study}{suffix}"

    def _head(self) -> Record:
        path = self._archive(".json")
        return dict(_read_json(path)) if self.archive and path.exists() else {}


def archive_text(head: Mapping[str, str], records: Mapping[str, Record]) -> str:
    """The JSON of an archive: a line for each cell, so that a new cell is a new line of a diff."""
    whole = {key: _one_line(value) for key, value in head.items()}
    lines = [f"{_one_line(name)}: {_one_line(records[name])}" for name in sorted(records)]
    whole["cells"] = "{\n" + ",\n".join(lines) + "\n}"
    return "{" + ",\n".join(f'"{key}": {whole[key]}' for key in sorted(whole)) + "}\n"


def _one_line(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)


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


@dataclass(frozen=True)
class Forecast:
    """What is left of a study: its cells, and the CPU-seconds they declare, less what is kept."""

    left: int
    total: int
    cpu_seconds: float

    def __str__(self) -> str:
        minutes = self.cpu_seconds / 60
        return f"{self.left} of {self.total} cells left, {minutes:.0f} CPU-minutes expected"


def forecast(cells: Sequence[Cell], store: Store, kind: str | None = None) -> Forecast:
    """What ``run`` would do."""
    return _forecast(left_to_do(cells, store, kind), len(cells), store)


def left_to_do(cells: Sequence[Cell], store: Store, kind: str | None = None) -> list[Cell]:
    """The cells to do, in their order: all, or those of one kind and what they need.

    A cell whose result is in the archive is done again if one still to be done needs its files.
    """
    done = store.done(cells)
    wanted = [cell for cell in cells if kind in (None, cell.kind) and cell.name not in done]
    names: set[str] = set()
    while wanted:
        cell = wanted.pop()
        names.add(cell.name)
        needs = [need for need in cell.needs.values() if need.name not in names]
        wanted += [need for need in needs if not store.worked_out(need)]
    return [cell for cell in cells if cell.name in names]


def run(
    cells: Sequence[Cell],
    store: Store,
    say: Say,
    kind: str | None = None,
    minutes: float | None = None,
    clock: Clock = cpu_seconds,
    pause: float = 1.0,
) -> None:
    """Do every cell that is not done, beside any other processes that do the same.

    With ``kind`` only cells of that kind and what they need. After so many CPU-``minutes`` none is
    begun, and no other than the first that would take longer. ``pause``: seconds between looks at
    other processes' cells. If a cell cannot be done, its error is raised, and what is done stays.
    """
    store.keep(cells)
    left = left_to_do(cells, store, kind)
    if not left:
        return
    store.require_same_torch()
    say(f"{store.study}: {_forecast(left, len(cells), store)}")
    end = inf if minutes is None else clock() + 60 * minutes
    first, waiting = True, False
    while left := [cell for cell in left if not store.worked_out(cell)]:
        ready = [cell for cell in left if all(map(store.worked_out, cell.needs.values()))]
        fitting = [cell for cell in ready if first or _fits(cell, end - clock())]
        if ready and not fitting:
            say(f"stopped after {minutes:g} CPU-minutes; the same command goes on")
            return
        # At most one: what this or another process has done may have freed an earlier cell.
        cell = next((cell for cell in fitting if _attempt(cell, store, say, end, clock)), None)
        if cell:
            first = False
            store.keep(cells)
            say(f"{cell.name}: {_state(cell, store)}; {forecast(cells, store, kind)}")
        else:
            if not waiting:
                say(f"waiting for other processes; {len(left)} cells are left")
            time.sleep(pause)
        waiting = not cell


def _attempt(cell: Cell, store: Store, say: Say, end: float, clock: Clock) -> bool:
    """Work at a cell for a piece if it is free; whether it was."""
    folder = store.folder(cell)
    with claimed(folder) as mine:
        if not mine or store.worked_out(cell):  # done since we looked
            return False
        say(f"{cell.name}: begun, {cell.cpu_seconds:.0f} CPU-seconds expected")
        needs = {
            role: Needed(store.folder(need), store.read(need)) for role, need in cell.needs.items()
        }
        now = clock()
        deadline = min(now + PIECE_S, end) if cell.resumable else inf
        piece = Piece(folder, cell.seed, needs, store.spent(cell), now, deadline, clock)
        with suppress(PieceOverError):
            result = cell.function(piece, cell.parameters)
            store.write(cell, replace(result, cpu_seconds=piece.spent))
        return True


def _fits(cell: Cell, seconds: float) -> bool:
    return seconds > 0 if cell.resumable else cell.cpu_seconds <= seconds


def _state(cell: Cell, store: Store) -> str:
    if not store.worked_out(cell):
        return "goes on"
    return f"done, {store.read(cell).cpu_seconds:.0f} CPU-seconds"


def _forecast(left: Sequence[Cell], total: int, store: Store) -> Forecast:
    seconds = sum(max(cell.cpu_seconds - store.spent(cell), 0.0) for cell in left)
    return Forecast(len(left), total, seconds)
