"""How much of the text burned into films ``gdshare.films.burned_in`` finds, and what it makes up.

Generated names, dates and numbers are written on films, 8 to 40 px high, faint to clear, light and
dark, level and turned, and the lines found are counted. On the same films before anything was
written the boxes are counted where surely no text is.

Everything about the detector was chosen on films of montgomery and of phantom hospital 0
(``--on chosen`` shows those), and on the real films in DICOM; what is reported is of the two
hospitals of Shenzhen and of phantom hospital 1. Quarter of an hour of one core; ``--quick``, on few
films of up to 1024 px, takes a minute.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.burned_in.films import (
    CELLS,
    HOSPITALS,
    Cell,
    Film,
    Hospitals,
    Pixels,
    films,
    write_line,
)
from benchmarks.burned_in.recall import SIDES, Findings, Written, covered, mostly, tables
from benchmarks.command import one_line_errors, parser, say, write_figures
from gdshare.films.box import Box
from gdshare.films.burned_in import find_text
from gdshare.seeding import numpy_generator

NAME = "benchmarks.burned_in"

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
        began = time.process_time()
        before = detector(film.pixels)
        between = time.process_time()
        mask = covered(detector(pixels), pixels.shape)
        findings.seconds[side] += [between - began, time.process_time() - between]
        findings.false_boxes[film.kind].append(any(mostly(box, film.bare) for box in before))
        written = [Written(cell, film.kind, side, mostly(box, mask)) for cell, box in lines]
        findings.written.extend(written)
        hits = sum(line.found for line in written)
        say(f"{film.name}, {side} px: {hits} of {len(written)} lines")
    return findings


def write_lines(film: Film, cells: Sequence[Cell]) -> tuple[Pixels, list[tuple[Cell, Box]]]:
    """A copy of a film with lines on it, and where each is; no two of them touch."""
    generator = numpy_generator(2, f"burned-in-lines/{film.name}")
    pixels, lines = film.pixels, list[tuple[Cell, Box]]()
    for cell in cells:
        if result := write_line(pixels, cell, [box for _, box in lines], generator):
            pixels = result[0]
            lines.append((cell, result[1]))
    return pixels, lines


def main() -> None:
    command = parser(NAME, __doc__, "few films, none above 1024 px")
    data = Path("../shared/data")
    where = f"the folder that holds tb_cxr/ (default {data}); without it phantoms only"
    command.add_argument("--data", type=Path, default=data, help=where)
    which = "the films the detector was chosen on, or others (default reported)"
    command.add_argument("--on", choices=HOSPITALS, default="reported", help=which)
    chosen = command.parse_args()
    plan = QUICK if chosen.quick else FULL
    real = (chosen.data / "tb_cxr").is_dir()
    if not real:
        print(f"no real films: there is no {chosen.data / 'tb_cxr'}; phantoms only\n")
    with one_line_errors():
        findings = detect(find_text, plan, HOSPITALS[chosen.on], chosen.data, say)
        shown = tables(findings)
        notes = Path(__file__).with_name("notes.txt").read_text(encoding="utf-8").strip()
        print("\n\n".join([notes, *map(str, shown)]))
        head = {"plan": asdict(plan), "on": chosen.on, "real_films": real}
        figures = {"lines": len(findings.written), "tables": [table.as_data() for table in shown]}
        write_figures(chosen.json, NAME, head | figures)


if __name__ == "__main__":
    main()
