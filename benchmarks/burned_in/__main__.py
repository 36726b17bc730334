"""``python -m benchmarks.burned_in``: burned-in text found and made up, as tables and as JSON.

Quarter of an hour of one core; ``--quick``, on few films of up to 1024 px, takes a minute.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.burned_in.films import CHOSEN_ON, REPORTED_ON, Film, Hospitals, films
from benchmarks.burned_in.recall import (
    NOTES,
    SIDES,
    Findings,
    Written,
    clean,
    covered,
    mostly,
    tables,
)
from benchmarks.burned_in.writing import CELLS, Cell, Line, Pixels, write_line
from benchmarks.command import one_line_errors, parser, say, write_figures
from gdshare.films.box import Box
from gdshare.films.burned_in import find_text
from gdshare.seeding import numpy_generator

NAME = "benchmarks.burned_in"
HOSPITALS = {"chosen": CHOSEN_ON, "reported": REPORTED_ON}

Detector = Callable[[Pixels], Sequence[Box]]


@dataclass(frozen=True)
class Plan:
    """How many films, of sides in px by turns, and lines on each, as far as there is room."""

    films: int
    lines: int = 6
    sides: tuple[int, ...] = SIDES


FULL = Plan(films=72)
QUICK = Plan(films=6, sides=(512, 1024))


def detect(
    detector: Detector, plan: Plan, hospitals: Hospitals, data: Path, say: Callable[[str], None]
) -> Findings:
    """Run the detector twice on each film, before and after lines are written on it."""
    findings = Findings()
    order = numpy_generator(1, "burned-in-cells").permutation(len(CELLS))
    for number, film in enumerate(films(hospitals, data, plan.films, plan.sides)):
        first = number * plan.lines
        cells = [CELLS[order[place % len(CELLS)]] for place in range(first, first + plan.lines)]
        pixels, lines = write_lines(film, cells)
        side = max(pixels.shape)

        def timed(pixels: Pixels, side: int = side) -> Sequence[Box]:
            began = time.process_time()
            boxes = detector(pixels)
            findings.seconds.setdefault(side, []).append(time.process_time() - began)
            return boxes

        findings.clean.append(clean(film.kind, timed(film.pixels), film.bare))
        mask = covered(timed(pixels), pixels.shape)
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
        if result := write_line(pixels, cell, [line.box for line in lines], generator):
            pixels, line = result
            lines.append(line)
    return pixels, lines


def main() -> None:
    """Read the options and measure."""
    command = parser(NAME, __doc__, "few films, none above 1024 px")
    command.add_argument(
        "--data",
        type=Path,
        default=Path("../shared/data"),
        help="the folder that holds tb_cxr/ (default ../shared/data); without it phantoms only",
    )
    command.add_argument(
        "--on",
        choices=HOSPITALS,
        default="reported",
        help="the films the detector was chosen on, or others (default reported)",
    )
    chosen = command.parse_args()
    plan = QUICK if chosen.quick else FULL
    real = (chosen.data / "tb_cxr").is_dir()
    if not real:
        print(f"no real films: there is no {chosen.data / 'tb_cxr'}; phantoms only\n")
    with one_line_errors():
        findings = detect(find_text, plan, HOSPITALS[chosen.on], chosen.data, say)
        shown = tables(findings)
        print("\n\n".join([*NOTES, *map(str, shown)]))
        head = {"plan": asdict(plan), "on": chosen.on, "real_films": real}
        figures = {"lines": len(findings.written), "tables": [table.as_data() for table in shown]}
        write_figures(chosen.json, NAME, head | figures)


if __name__ == "__main__":
    main()
