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
Clock = Callable[[], float]


@dataclass(frozen=True)
class Forecast:
    """What is left of a study.

    Attributes:
        left, total: cells.
        cpu_seconds: expected of those left, by what they declare, less what is kept of them, times
            the pace of the cells that were done here.
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
    """The cells to do, in their order.

    A cell whose result is in the archive is done again if one still to be done needs its files.

    Args:
        cells: all of them.
        store: where results lie.
        kind: one kind of cell and what it needs; None: all.
    """
    done = store.done(cells)
    wanted = [cell for cell in cells if kind in (None, cell.kind) and cell.name not in done]
    names: set[str] = set()
    while wanted:
        cell = wanted.pop()
        if cell.name not in names:
            names.add(cell.name)
            wanted += [need for need in cell.needs.values() if not store.worked_out(need)]
    return [cell for cell in cells if cell.name in names]


def run(
    cells: Sequence[Cell],
    store: Store,
    say: Say,
    kind: str | None = None,
    minutes: float | None = None,
    processes: int = 1,
    clock: Clock = cpu_seconds,
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
        RunError: the archive holds results of another torch.
    """
    store.keep(cells)
    left = left_to_do(cells, store, kind)
    if not left:
        return
    store.require_same_torch()
    say(f"{store.study}: {_forecast(left, cells, store)}")
    helpers = [
        get_context("spawn").Process(
            target=_help, args=(cells, left, store, say, minutes), daemon=True
        )
        for _ in range(processes - 1)
    ]
    for helper in helpers:
        helper.start()
    _share(cells, left, store, say, minutes, clock, pause)
    for helper in helpers:
        helper.join()


def _help(
    cells: Sequence[Cell], left: Sequence[Cell], store: Store, say: Say, minutes: float | None
) -> None:
    """A further process's share."""
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        _share(cells, left, store, say, minutes, cpu_seconds, 1.0)
    except GdshareError as error:
        say(str(error))


def _share(
    cells: Sequence[Cell],
    left: Sequence[Cell],
    store: Store,
    say: Say,
    minutes: float | None,
    clock: Clock,
    pause: float,
) -> None:
    """Do cells until none is left, or the time is over."""
    end = inf if minutes is None else clock() + 60 * minutes
    first, waiting = True, False
    while left := [cell for cell in left if not store.worked_out(cell)]:
        ready = [cell for cell in left if all(map(store.worked_out, cell.needs.values()))]
        fitting = [cell for cell in ready if first or _fits(cell, end - clock())]
        if ready and not fitting:
            say(f"stopped after {minutes:g} CPU-minutes; the same command goes on")
            return
        # One at a time: what this or another process has done may have freed an earlier cell.
        worked_at = next((cell for cell in fitting if _attempt(cell, store, say, end, clock)), None)
        if worked_at:
            first = False
            store.keep(cells)
            still = [cell for cell in left if not store.worked_out(cell)]
            state = "goes on" if worked_at in still else f"done, {_seconds(worked_at, store)}"
            say(f"{worked_at.name}: {state}; {_forecast(still, cells, store)}")
        else:
            if not waiting:
                say(f"waiting for other processes; {len(left)} cells are left")
            time.sleep(pause)
        waiting = not worked_at


def _fits(cell: Cell, seconds: float) -> bool:
    return seconds > 0 if cell.resumable else cell.cpu_seconds <= seconds


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


def _seconds(cell: Cell, store: Store) -> str:
    return f"{store.read(cell).cpu_seconds:.0f} CPU-seconds"


def _forecast(left: Sequence[Cell], cells: Sequence[Cell], store: Store) -> Forecast:
    done = [cell for cell in cells if store.worked_out(cell)]
    declared = sum(cell.cpu_seconds for cell in done)
    pace = sum(store.read(cell).cpu_seconds for cell in done) / declared if declared else 1.0
    expected = sum(max(cell.cpu_seconds * pace - store.spent(cell), 0.0) for cell in left)
    return Forecast(len(left), len(cells), expected)
