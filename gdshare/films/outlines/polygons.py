"""The only rasteriser: from polygons with holes to the pixels with their centres inside.

Pixel (r, c) covers [c, c + 1] x [r, r + 1] of the film, x to the right and y down; it is inside if
(c + 0.5, r + 0.5) is. An outline therefore covers the same pixels whatever tool it was drawn with,
and two polygons with a common border neither overlap nor leave a gap.

It is written in numpy, since no library does this both exactly and cheaply: scikit-image tests
every pixel against every vertex, Pillow rounds vertices to whole pixels, OpenCV also fills the
border's pixels, and GDAL takes 100 MB to install.

A row of pixel centres crosses the border of a polygon an even number of times. In sorted order the
crossings alternately enter and leave the polygon. Each entry counts +1, each exit -1, and the
cumulative sum along a row is positive where a pixel is inside at least one polygon.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gdshare.errors import FilmError

Ring = npt.NDArray[np.float64]
"""float64 [n, 2]: x and y of each vertex, px; the last vertex is joined to the first."""

MAX_VERTICES = 1_000_000
"""Of all polygons of a film: an organ drawn by hand has hundreds, a traced one thousands."""
MAX_COORDINATE = 1e9
"""px, in either direction; up to it float64 computes a crossing to 1e-6 px."""
MAX_CROSSINGS = 10_000_000
"""Of rows and borders, on one film: a smooth organ has some thousands; this many take 700 MB."""

_BAND = 1 << 18
"""Pixels summed at a time: 1 MB of int32 fits the processor's cache."""

_Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Polygon:
    """A border and the borders of its holes; a point is inside if an odd number enclose it.

    Attributes:
        rings: in any order and direction; a ring of fewer than three vertices encloses nothing.
    """

    rings: tuple[Ring, ...]


def rasterise(polygons: Sequence[Polygon], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Mark the pixels with their centres inside at least one polygon.

    Parts beyond the film are cut off. A centre exactly on a border belongs to the polygon to its
    right or below it.

    Args:
        polygons: any number, each of any number of rings.
        shape: (height, width) of the film, px.

    Returns:
        bool [height, width], true inside.

    Raises:
        FilmError: too many vertices or crossings, or a coordinate is not finite or too large; the
            error names no file.
    """
    height, width = shape
    mask = np.zeros(shape, dtype=np.bool_)
    cells, steps = _steps(_crossings(polygons, shape), shape)
    if not len(cells):
        return mask
    line = width + 1  # one more than the pixels, for exits to the right of the film
    rows = max(1, _BAND // line)
    for top in range(int(cells[0]) // line, int(cells[-1]) // line + 1, rows):
        bottom = min(top + rows, height)
        first, last = np.searchsorted(cells, (top * line, bottom * line))
        depth = np.zeros((bottom - top) * line, dtype=np.int32)
        np.add.at(depth, cells[first:last] - top * line, steps[first:last])
        depth = depth.reshape(-1, line).cumsum(axis=1, dtype=np.int32)
        np.greater(depth[:, :width], 0, out=mask[top:bottom])
    return mask


def bounds(polygons: Sequence[Polygon]) -> tuple[float, float, float, float]:
    """The smallest x and y and the largest x and y of all vertices; NaN if there are none."""
    points = [ring for polygon in polygons for ring in polygon.rings if len(ring)]
    if not points:
        return (np.nan,) * 4
    low = np.min([ring.min(axis=0) for ring in points], axis=0)
    high = np.max([ring.max(axis=0) for ring in points], axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _steps(crossings: _Integers, shape: tuple[int, int]) -> tuple[_Integers, npt.NDArray[np.int32]]:
    """Turn sorted crossings into sorted cells, int64 [n], and the step +1 or -1 at each, int32 [n].

    Each polygon crosses a row an even number of times, so entries and exits alternate in the list.
    """
    height, width = shape
    cells = crossings % (height * (width + 1))
    order = np.argsort(cells, kind="stable")
    steps = np.ones(len(cells), dtype=np.int32)
    steps[1::2] = -1
    return cells[order], steps[order]


def _crossings(polygons: Sequence[Polygon], shape: tuple[int, int]) -> _Integers:
    """The crossings of rows of pixel centres with borders.

    Returns:
        int64 [n], sorted: (polygon x height + row) x (width + 1) + first column right of the
        crossing.
    """
    height, width = shape
    low, high, owner = _edges(polygons)
    # Edges are half-open in y: a vertex level with a row's centres counts once if the border
    # passes through the row there, and twice or not at all if it only touches it.
    first = np.clip(np.ceil(low[:, 1] - 0.5), 0, height).astype(np.int64)
    count = np.clip(np.ceil(high[:, 1] - 0.5), 0, height).astype(np.int64) - first
    total = int(count.sum())
    if total > MAX_CROSSINGS:
        raise FilmError(
            f"the outline crosses the film's rows {total:,} times ({MAX_CROSSINGS:,} at most)",
            remedy="draw it with fewer, shorter edges, or export a mask",
        )
    edge = np.repeat(np.arange(len(count)), count)
    row = np.arange(total) - np.repeat(np.cumsum(count) - count - first, count)
    rise, run = (high - low)[edge, 1], (high - low)[edge, 0]
    x = low[edge, 0] + (row + 0.5 - low[edge, 1]) * run / rise
    column = np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
    return np.sort((owner[edge] * height + row) * (width + 1) + column)


def _edges(polygons: Sequence[Polygon]) -> tuple[Ring, Ring, _Integers]:
    """All edges: upper ends [n, 2], lower ends [n, 2], and the index of the polygon [n].

    Ends are ordered by y, so that two polygons compute a common edge to the same bits.
    """
    rings = [
        (index, ring)
        for index, polygon in enumerate(polygons)
        for ring in polygon.rings
        if len(ring)
    ]
    lengths = np.array([len(ring) for _, ring in rings], dtype=np.int64)
    if lengths.sum() > MAX_VERTICES:
        raise FilmError(
            f"the outline has {lengths.sum():,} vertices ({MAX_VERTICES:,} at most)",
            remedy="simplify it in the annotation tool, or export a mask",
        )
    start = np.concatenate([np.zeros((0, 2)), *(ring for _, ring in rings)])
    if not (np.abs(start) <= MAX_COORDINATE).all():  # false for NaN
        raise FilmError(
            "a vertex is not a position on a film (not a number, or far outside)",
            remedy="draw it again",
        )
    following = np.arange(1, len(start) + 1)
    ends = np.cumsum(lengths)
    following[ends - 1] = ends - lengths
    end = start[following]
    owner = np.repeat(np.array([index for index, _ in rings], dtype=np.int64), lengths)
    upward = (start[:, 1] > end[:, 1])[:, None]
    return np.where(upward, end, start), np.where(upward, start, end), owner
