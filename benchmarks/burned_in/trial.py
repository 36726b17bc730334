"""Writing on films and looking for what was written."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.burned_in.films import Ground, Hospitals, grounds
from benchmarks.burned_in.tally import Clean, Sought, clean, covered, found
from benchmarks.burned_in.writing import CELLS, Cell, Line, Pixels, write_line
from gdshare.films.box import Box
from gdshare.seeding import numpy_generator

Finder = Callable[[Pixels], Sequence[Box]]


@dataclass(frozen=True)
class Plan:
    """How much is tried.

    Attributes:
        films: how many.
        lines: written on each; where one finds no room it is left out.
        sides: of the films, px, by turns.
    """

    films: int
    lines: int = 6
    sides: tuple[int, ...] = (512, 1024, 2048)


FULL = Plan(films=72)
QUICK = Plan(films=6, sides=(512, 1024))


@dataclass
class Seen:
    """What was seen.

    Attributes:
        sought: every line written.
        clean: every film before.
        seconds: CPU time of one look, by the film's side in px.
    """

    sought: list[Sought] = field(default_factory=list)
    clean: list[Clean] = field(default_factory=list)
    seconds: dict[int, list[float]] = field(default_factory=dict)


def look(
    find: Finder, plan: Plan, hospitals: Hospitals, data: Path, report: Callable[[str], None]
) -> Seen:
    """Look at each film twice, before and after lines are written on it.

    Args:
        find: the detector.
        plan: how much is tried.
        hospitals: where the films come from.
        data: folder that holds tb_cxr.
        report: told of each film.
    """
    seen = Seen()
    order = numpy_generator(1, "burned-in-cells").permutation(len(CELLS))
    for number, ground in enumerate(grounds(hospitals, data, plan.films, plan.sides)):
        first = number * plan.lines
        cells = [CELLS[order[place % len(CELLS)]] for place in range(first, first + plan.lines)]
        pixels, lines = written(ground, cells)
        side = max(pixels.shape)
        start = time.process_time()
        before = find(ground.pixels)
        middle = time.process_time()
        after = covered(find(pixels), pixels.shape)
        seen.seconds.setdefault(side, []).extend([middle - start, time.process_time() - middle])
        seen.clean.append(clean(ground.kind, before, ground.bare))
        here = [Sought(line, ground.kind, side, found(line, after)) for line in lines]
        seen.sought += here
        report(f"{ground.name}, {side} px: {sum(one.found for one in here)} of {len(here)} lines")
    return seen


def written(ground: Ground, cells: Sequence[Cell]) -> tuple[Pixels, list[Line]]:
    """A film with lines on it, and the lines, none touching another; the film stays as it was."""
    draw = numpy_generator(2, f"burned-in-lines/{ground.name}")
    pixels, lines = ground.pixels, list[Line]()
    for cell in cells:
        done = write_line(pixels, cell, [line.box for line in lines], draw)
        if done:
            pixels, line = done
            lines.append(line)
    return pixels, lines
