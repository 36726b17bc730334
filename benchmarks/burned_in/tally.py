"""Counting what was found. Pure functions over boxes and lines."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from benchmarks.burned_in.writing import Line
from gdshare.films.box import Box
from gdshare.metrics import Interval

Bare = npt.NDArray[np.bool_]

ENOUGH = 0.5
"""Of a line's area: a reviewer who is shown half of a name looks at the rest. Of a box's, for it to
lie where no text is."""


@dataclass(frozen=True)
class Sought:
    """One line that was written: how, on what, and whether it was found."""

    line: Line
    kind: str
    side: int
    found: bool


@dataclass(frozen=True)
class Clean:
    """What was marked on one film before anything was written on it.

    Attributes:
        kind: "chest" or "phantom".
        side: of the film, px.
        boxes: in all, side markers and the phantoms' word among them.
        false_boxes: those that lie where surely no text is.
        marked: share of the film's area in boxes, in [0, 1].
    """

    kind: str
    side: int
    boxes: int
    false_boxes: int
    marked: float


@dataclass(frozen=True)
class Share:
    """So many of so many, with Wilson's 95% interval."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        """In [0, 1]; 0 of nothing."""
        return self.hits / self.of if self.of else 0.0

    @property
    def interval(self) -> Interval:
        """As if lines were drawn apart; those on one film are not quite."""
        if not self.of:
            return Interval(0.0, 1.0)
        seen = binomtest(self.hits, self.of).proportion_ci(method="wilson")
        return Interval(float(seen.low), float(seen.high))


def covered(boxes: Iterable[Box], shape: tuple[int, ...]) -> Bare:
    """Which pixels lie in any of the boxes: bool of that shape."""
    mask = np.zeros(shape, np.bool_)
    for box in boxes:
        mask[box.top : box.bottom, box.left : box.right] = True
    return mask


def found(line: Line, mask: Bare) -> bool:
    """Whether enough of a line is covered."""
    box = line.box
    return bool(mask[box.top : box.bottom, box.left : box.right].mean() >= ENOUGH)


def clean(kind: str, boxes: Sequence[Box], bare: Bare) -> Clean:
    """Count boxes on a film that nothing was written on."""
    false = sum(bool(bare[b.top : b.bottom, b.left : b.right].mean() >= ENOUGH) for b in boxes)
    marked = float(covered(boxes, bare.shape).mean())
    return Clean(kind, bare.shape[0], len(boxes), false, marked)


def recall(sought: Iterable[Sought], wanted: Callable[[Sought], bool]) -> Share:
    """The share of the lines of one sort that were found."""
    hits = [one.found for one in sought if wanted(one)]
    return Share(sum(hits), len(hits))
