"""Writing on films and looking for what was written."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.burned_in.films import Film, Hospitals, films
from benchmarks.burned_in.recall import SIDES, Findings, Written, clean, covered, mostly
from benchmarks.burned_in.writing import CELLS, Cell, Line, Pixels, write_line
from gdshare.films.box import Box
from gdshare.seeding import numpy_generator

Detector = Callable[[Pixels], Sequence[Box]]


@dataclass(frozen=True)
class Plan:
    """How much is tried.

    Attributes:
        films: how many.
        lines: written on each; where there is no room for one it is left out.
        sides: of the films, px, by turns.
    """

    films: int
    lines: int = 6
    sides: tuple[int, ...] = SIDES


FULL = Plan(films=72)
QUICK = Plan(films=6, sides=(512, 1024))


def detect(
    detector: Detector, plan: Plan, hospitals: Hospitals, data: Path, say: Callable[[str], None]
) -> Findings:
    """Run the detector twice on each film, before and after lines are written on it.

    Args:
        detector: pixels -> boxes.
        plan: how much is tried.
        hospitals: where the films come from.
        data: folder that holds tb_cxr.
        say: called with a line a film.
    """
    findings = Findings()
    order = numpy_generator(1, "burned-in-cells").permutation(len(CELLS))
    for number, film in enumerate(films(hospitals, data, plan.films, plan.sides)):
        first = number * plan.lines
        cells = [CELLS[order[place % len(CELLS)]] for place in range(first, first + plan.lines)]
        pixels, lines = write_lines(film, cells)
        side = max(pixels.shape)
        times = [time.process_time()]
        before = detector(film.pixels)
        times.append(time.process_time())
        after = detector(pixels)
        times.append(time.process_time())
        seconds = [times[1] - times[0], times[2] - times[1]]
        findings.seconds.setdefault(side, []).extend(seconds)
        findings.clean.append(clean(film.kind, before, film.bare))
        mask = covered(after, pixels.shape)
        written = [Written(line.cell, film.kind, side, mostly(line.box, mask)) for line in lines]
        findings.written += written
        hits = sum(line.found for line in written)
        say(f"{film.name}, {side} px: {hits} of {len(written)} lines")
    return findings


def write_lines(film: Film, cells: Sequence[Cell]) -> tuple[Pixels, list[Line]]:
    """A copy of a film with lines on it, and the lines, no two of which touch."""
    generator = numpy_generator(2, f"burned-in-lines/{film.name}")
    pixels, lines = film.pixels, list[Line]()
    for cell in cells:
        result = write_line(pixels, cell, [line.box for line in lines], generator)
        if result:
            pixels, line = result
            lines.append(line)
    return pixels, lines
