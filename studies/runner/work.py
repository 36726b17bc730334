"""Doing the cells that are not done, and saying what that will take."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf

from studies.runner.cell import PIECE_S, Cell, Needed, Piece, PieceOverError, cpu_seconds
from studies.runner.store import Store, claimed

Say = Callable[[str], None]
Clock = Callable[[], float]


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

    Args:
        cells: in the order to do them in; all that a cell needs is among them.
        store: where results lie.
        say: called with the forecast, at each cell's start and end, and when nothing is left but
            cells that other processes are at.
        kind: do one kind of cell and what it needs; None: all.
        minutes: CPU-minutes; a cell that would take longer is not begun, unless it is the first.
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
