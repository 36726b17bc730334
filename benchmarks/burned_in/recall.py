"""Counting which lines were found, as tables and for JSON. Pure functions over boxes and lines."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue
from scipy.stats import binomtest

from benchmarks.burned_in.writing import CONTRASTS, HEIGHTS, INKS, Cell
from gdshare.films.box import Box
from studies.tables import Row, Table, Value

Mask = npt.NDArray[np.bool_]

SIDES = (512, 1024, 2048)
"""Of the films, px."""

ENOUGH = 0.5
"""Of a line's area: a reviewer who is shown half of a name looks at the rest. Of a box's, for it to
lie where no text is."""

NOTES = (
    "Recall: the share of written lines of which half the area lies in boxes, with Wilson's 95% "
    "interval. Contrast: of the ink to the film's mean grey under the line, in parts of the range; "
    "plate: black on a white plate, or white on a black one. Height: of a capital letter.",
    "False boxes: on films before anything was written, those of which half lies where surely no "
    "text is: inside the lungs of chest X-rays, and on phantoms away from the word SYNTHETIC. All "
    "boxes: with that word, side markers and old labels, which are text.",
    "The lines are generated (Latin letters, Pillow's font and, where the machine has them, "
    "DejaVu's) and so cleaner than a real film's: other scripts, handwriting, lead letters, lines "
    "that slant or that scanning blurred are not measured. Chest X-rays above 512 px are enlarged.",
)


@dataclass(frozen=True)
class Written:
    """A line that was written, the film's kind and side in px, and whether it was found."""

    cell: Cell
    kind: str
    side: int
    found: bool


@dataclass(frozen=True)
class Clean:
    """What was marked on one film before anything was written on it.

    Attributes:
        kind: "chest" or "phantom".
        boxes: in all, side markers and the phantoms' word among them.
        false_boxes: those that lie where surely no text is.
        marked: share of the film's area in boxes, in [0, 1].
    """

    kind: str
    boxes: int
    false_boxes: int
    marked: float


@dataclass
class Findings:
    """Of a whole trial.

    Attributes:
        written: every line.
        clean: every film before.
        seconds: CPU time of one detection, by the film's side in px.
    """

    written: list[Written] = field(default_factory=list)
    clean: list[Clean] = field(default_factory=list)
    seconds: dict[int, list[float]] = field(default_factory=dict)


def covered(boxes: Iterable[Box], shape: tuple[int, ...]) -> Mask:
    """Which pixels lie in any of the boxes: bool of that shape."""
    mask = np.zeros(shape, np.bool_)
    for box in boxes:
        mask[box.top : box.bottom, box.left : box.right] = True
    return mask


def mostly(box: Box, mask: Mask) -> bool:
    """Whether enough of a box lies in the mask."""
    return bool(mask[box.top : box.bottom, box.left : box.right].mean() >= ENOUGH)


def clean(kind: str, boxes: Sequence[Box], bare: Mask) -> Clean:
    """Count boxes on a film that nothing was written on."""
    false = sum(mostly(box, bare) for box in boxes)
    return Clean(kind, len(boxes), false, float(covered(boxes, bare.shape).mean()))


def share(hits: Iterable[bool]) -> Value:
    """So many of so many, with Wilson's 95% interval.

    The interval is as if lines were independent; those on one film are not quite.
    """
    known = list(hits)
    if not known:
        return Value("-", None)
    value, of = sum(known) / len(known), len(known)
    ends = binomtest(sum(known), of).proportion_ci(method="wilson")
    low, high = float(ends.low), float(ends.high)
    data: JsonValue = {"value": value, "interval": [low, high], "of": of}
    return Value(f"{value:.2f} [{low:.2f}, {high:.2f}] of {of}", data)


def tables(findings: Findings) -> list[Table]:
    """All of them."""
    return [
        _by_contrast_and_height(findings.written),
        _by_sort(findings.written),
        _false_boxes(findings.clean),
        _seconds(findings.seconds),
    ]


def _by_contrast_and_height(lines: Sequence[Written]) -> Table:
    rows: list[Row] = []
    for contrast in CONTRASTS:
        own = [line for line in lines if line.cell.contrast == contrast]
        recall = (share(line.found for line in own if line.cell.height == h) for h in HEIGHTS)
        rows.append(["plate" if contrast == 1.0 else f"{contrast:.0%}", *recall])
    heights = [f"{height} px" for height in HEIGHTS]
    return Table("Recall by contrast and height", ["", *heights], rows)


def _by_sort(lines: Sequence[Written]) -> Table:
    sorts = {
        "all": lines,
        **{f"{ink} ink": [line for line in lines if line.cell.ink == ink] for ink in INKS},
        "level": [line for line in lines if not line.cell.turned],
        "turned": [line for line in lines if line.cell.turned],
        **{kind: [line for line in lines if line.kind == kind] for kind in ("chest", "phantom")},
        **{f"film of {side} px": [line for line in lines if line.side == side] for side in SIDES},
    }
    rows: list[Row] = [[name, share(line.found for line in own)] for name, own in sorts.items()]
    return Table("Recall by sort of line", ["", "recall"], rows)


def _false_boxes(films: Sequence[Clean]) -> Table:
    head = ["", "false boxes a film", "films with one", "all boxes a film", "area marked"]
    rows: list[Row] = []
    for kind in sorted({film.kind for film in films}):
        own = [film for film in films if film.kind == kind]
        false, boxes, marked = (
            mean(values)
            for values in zip(*((f.false_boxes, f.boxes, f.marked) for f in own), strict=True)
        )
        rows.append(
            [
                f"{kind} ({len(own)} films)",
                Value(f"{false:.2f}", false),
                share(film.false_boxes > 0 for film in own),
                Value(f"{boxes:.1f}", boxes),
                Value(f"{marked:.1%}", marked),
            ]
        )
    return Table("Before anything was written", head, rows)


def _seconds(seconds: Mapping[int, list[float]]) -> Table:
    means = {side: mean(values) for side, values in sorted(seconds.items())}
    rows: list[Row] = [
        [f"{side} px", Value(f"{value:.1f}", value)] for side, value in means.items()
    ]
    return Table("CPU-seconds a film, one thread", ["", "mean"], rows)
