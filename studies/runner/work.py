"""Doing the cells that are not done, and saying what that will take."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from multiprocessing import get_context

import torch

from gdshare.allocator import keep_freed_memory
from gdshare.errors import GdshareError
from studies.runner.cell import PIECE_S, Cell, Needed, Piece, PieceOverError, cpu_seconds
from studies.runner.store import Store, claimed

Say = Callable[[str], None]


@dataclass(frozen=True)
class Forecast:
    """What is left of a study.

    The CPU-seconds are what the cells left declare, times the pace of the cells of their kind that
    were done here, less what is kept of them.
    """

    left: int
    total: int
    cpu_seconds: float

    def __str__(self) -> str:
        """In words."""
        minutes = self.cpu_seconds / 60
        return f"{self.left} of {self.total} cells left, {minutes:.0f} CPU-minutes expected"


def forecast(cells: Sequence[Cell], store: Store, kind: str | None = None) -> Forecast:
    """What ``run`` would do."""
    return _forecast(left_to_do(cells, store, kind), cells, store)


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
    processes: int = 1,
    clock: Callable[[], float] = cpu_seconds,
    pause: float = 1.0,
) -> None:
    """Do every cell that is not done, beside any other processes that do the same.

    Args:
        cells: in the order to do them in; all that a cell needs is among them.
        store: where results lie.
        say: called with the forecast, at each cell's start and end, and when nothing is left but
            cells that other processes are at. With more processes it must be picklable, as every
            cell's function and parameters must be.
        kind: do one kind of cell and what it needs; None: all.
        minutes: CPU-minutes of each process; a cell that would take longer is not begun, unless it
            is the first. None: until all is done.
        processes: how many to share the cells between, this one among them.
        clock: CPU-seconds of this process.
        pause: seconds between looks at other processes' cells.

    Raises:
        GdshareError: a cell cannot be done; what is done stays.
        RunError: the archive holds results of another torch or other parameters.
    """
    store.keep(cells)
    left = left_to_do(cells, store, kind)
    if not left:
        return
    store.require_same_torch()
    say(f"{store.study}: {_forecast(left, cells, store)}")
    helper = get_context("spawn").Process
    helpers = [
        helper(target=_help, args=(cells, left, store, say, minutes), daemon=True)
        for _ in range(processes - 1)
    ]
    for one in helpers:
        one.start()
    _Worker(cells, store, say, minutes, clock, pause).do(left)
    for one in helpers:
        one.join()


def _help(
    cells: Sequence[Cell], left: Sequence[Cell], store: Store, say: Say, minutes: float | None
) -> None:
    """A further process's share."""
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        _Worker(cells, store, say, minutes, cpu_seconds, 1.0).do(left)
    except GdshareError as error:
        say(str(error))


@dataclass(frozen=True)
class _Worker:
    """One process's share of the work; see ``run``."""

    cells: Sequence[Cell]
    store: Store
    say: Say
    minutes: float | None
    clock: Callable[[], float]
    pause: float

    def do(self, left: Sequence[Cell]) -> None:
        """Do cells until none is left, or the time is over."""
        store, end = self.store, inf if self.minutes is None else self.clock() + 60 * self.minutes
        first, waiting = True, False
        while left := [cell for cell in left if not store.worked_out(cell)]:
            ready = [cell for cell in left if all(map(store.worked_out, cell.needs.values()))]
            fitting = [cell for cell in ready if first or _fits(cell, end - self.clock())]
            if ready and not fitting:
                self.say(f"stopped after {self.minutes:g} CPU-minutes; the same command goes on")
                return
            # One at a time: what this or another process has done may have freed an earlier cell.
            cell = next((one for one in fitting if self._attempt(one, end)), None)
            if cell:
                first = False
                self._kept(cell, left)
            else:
                if not waiting:
                    self.say(f"waiting for other processes; {len(left)} cells are left")
                time.sleep(self.pause)
            waiting = not cell

    def _attempt(self, cell: Cell, end: float) -> bool:
        """Work at a cell for a piece if it is free; whether it was."""
        store, folder = self.store, self.store.folder(cell)
        with claimed(folder) as mine:
            if not mine or store.worked_out(cell):  # done since we looked
                return False
            self.say(f"{cell.name}: begun, {cell.cpu_seconds:.0f} CPU-seconds expected")
            needs = {
                role: Needed(store.folder(need), store.read(need))
                for role, need in cell.needs.items()
            }
            now = self.clock()
            deadline = min(now + PIECE_S, end) if cell.resumable else inf
            before = store.spent(cell)
            piece = Piece(folder, cell.seed, needs, before, now, deadline, self.clock)
            with suppress(PieceOverError):
                result = cell.function(piece, cell.parameters)
                store.write(cell, replace(result, cpu_seconds=piece.spent))
            return True

    def _kept(self, cell: Cell, left: Sequence[Cell]) -> None:
        """Archive a cell that was worked at, and say what is left."""
        self.store.keep(self.cells)
        still = [one for one in left if not self.store.worked_out(one)]
        seconds = 0.0 if cell in still else self.store.read(cell).cpu_seconds
        state = "goes on" if cell in still else f"done, {seconds:.0f} CPU-seconds"
        self.say(f"{cell.name}: {state}; {_forecast(still, self.cells, self.store)}")


def _fits(cell: Cell, seconds: float) -> bool:
    return seconds > 0 if cell.resumable else cell.cpu_seconds <= seconds


def _forecast(left: Sequence[Cell], cells: Sequence[Cell], store: Store) -> Forecast:
    declared, taken = dict[str, float](), dict[str, float]()
    for cell in filter(store.worked_out, cells):
        declared[cell.kind] = declared.get(cell.kind, 0.0) + cell.cpu_seconds
        taken[cell.kind] = taken.get(cell.kind, 0.0) + store.read(cell).cpu_seconds
    pace = {kind: taken[kind] / seconds for kind, seconds in declared.items()}
    expected = [cell.cpu_seconds * pace.get(cell.kind, 1.0) - store.spent(cell) for cell in left]
    return Forecast(len(left), len(cells), sum(max(one, 0.0) for one in expected))
