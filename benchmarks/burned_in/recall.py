"""Counting which lines were found, as tables and for JSON. Pure functions over boxes and lines."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import mean

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from benchmarks.burned_in.films import CONTRASTS, HEIGHTS, INKS, Cell
from gdshare.films.box import Box
from studies.tables import Row, Table, Value

Mask = npt.NDArray[np.bool_]

SIDES = (512, 1024, 2048)
"""Of the films, px."""

ENOUGH = 0.5
"""Of a line's area: a reviewer who is shown half of a name looks at the rest. Of a box's, for it to
lie where no text is."""


@dataclass(frozen=True)
class Written:
    """A line that was written, the film's kind and side in px, and whether it was found."""

    cell: Cell
    kind: str
    side: int
    found: bool


@dataclass(frozen=True)
class Findings:
    """Of a whole trial: every line; of each kind of film, whether any without text has a false box;
    and by the film's side in px, the CPU-seconds of each detection.
    """

    written: list[Written] = field(default_factory=list)
    false_boxes: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    seconds: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))


def covered(boxes: Iterable[Box], shape: tuple[int, ...]) -> Mask:
    """Which pixels lie in any of the boxes: bool of that shape."""
    mask = np.zeros(shape, np.bool_)
    for box in boxes:
        mask[box.top : box.bottom, box.left : box.right] = True
    return mask


def mostly(box: Box, mask: Mask) -> bool:
    """Whether enough of a box lies in the mask."""
    return bool(mask[box.top : box.bottom, box.left : box.right].mean() >= ENOUGH)


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
    text = f"{value:.2f} [{low:.2f}, {high:.2f}] of {of}"
    return Value(text, {"value": value, "interval": [low, high], "of": of})


def tables(findings: Findings) -> list[Table]:
    lines = findings.written
    grid: list[Row] = []
    for contrast in CONTRASTS:
        own = [line for line in lines if line.cell.contrast == contrast]
        recall = (share(line.found for line in own if line.cell.height == h) for h in HEIGHTS)
        grid.append(["plate" if contrast == 1.0 else f"{contrast:.0%}", *recall])
    sorts = {
        "all": lines,
        **{f"{ink} ink": [line for line in lines if line.cell.ink == ink] for ink in INKS},
        "level": [line for line in lines if not line.cell.turned],
        "turned": [line for line in lines if line.cell.turned],
        **{kind: [line for line in lines if line.kind == kind] for kind in ("chest", "phantom")},
        **{f"film of {side} px": [line for line in lines if line.side == side] for side in SIDES},
    }
    by_sort: list[Row] = [[name, share(line.found for line in own)] for name, own in sorts.items()]
    false: list[Row] = [[kind, share(own)] for kind, own in sorted(findings.false_boxes.items())]
    means = {f"{side} px": mean(values) for side, values in sorted(findings.seconds.items())}
    seconds: list[Row] = [[side, Value(f"{value:.1f}", value)] for side, value in means.items()]
    return [
        Table("Recall by contrast and height", ["", *(f"{h} px" for h in HEIGHTS)], grid),
        Table("Recall by sort of line", ["", "recall"], by_sort),
        Table("Before anything was written", ["", "films with a false box"], false),
        Table("CPU-seconds a film, one thread", ["", "mean"], seconds),
    ]
