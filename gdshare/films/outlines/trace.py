"""From a mask to polygons along its pixels' edges: what ``rasterise`` turns back into that mask.

Borders run on whole-pixel lines, so a polygon's area is its number of pixels and nothing is
smoothed away. Pixels that touch only at a corner belong to different polygons (4-connected), as
GeoJSON wants no border that touches itself.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects, label

from gdshare.films.outlines.polygons import Polygon

_Vertex = tuple[int, int]


def trace(mask: npt.NDArray[np.bool_]) -> list[Polygon]:
    """Outline every part of a mask, with its holes.

    Args:
        mask: bool [height, width].

    Returns:
        one polygon a part, in the order of their first pixels; of its rings the outer border comes
        first. Vertices are float64 whole numbers; outer borders turn from x towards y, holes the
        other way; no ring meets itself.
    """
    if not mask.any():
        return []
    ((rows, columns),) = find_objects(mask.astype(np.int8))
    inside = mask[rows, columns]
    parts, count = label(inside)
    borders: list[list[_Vertex]] = [[] for _ in range(count + 1)]
    holes: list[list[list[_Vertex]]] = [[] for _ in range(count + 1)]
    for loop in _loops(inside):
        for ring in _simple(loop):
            part = int(parts[_pixel_on_the_right(ring)])
            if _turns_from_x_to_y(ring):
                borders[part] = ring
            else:
                holes[part].append(ring)
    corner = np.array([columns.start, rows.start], dtype=np.float64)
    return [
        Polygon(tuple(np.array(ring, dtype=np.float64) + corner for ring in (border, *within)))
        for border, within in zip(borders[1:], holes[1:], strict=True)
    ]


def _loops(inside: npt.NDArray[np.bool_]) -> Iterator[list[_Vertex]]:
    """Walk along the borders with the inside on the right (y points down); yield closed walks.

    Every border alternates between level and upright edges. In the list of corners by rows, each
    two that follow one another are the ends of a level edge; by columns, of an upright one.
    """
    corners, ahead = _corners(inside)
    level_ends = np.arange(len(corners)) ^ 1
    by_columns = np.lexsort((ahead, corners[:, 1], corners[:, 0]))
    upright_ends = np.empty_like(by_columns)
    upright_ends[by_columns] = by_columns[level_ends]

    left = corners[::2]  # of each level edge
    padded = np.pad(inside, 1)
    rightwards = padded[left[:, 1] + 1, left[:, 0] + 1]  # the pixel below is inside
    start = np.arange(0, len(corners), 2) + ~rightwards
    end = start ^ 1
    following = (upright_ends[end] // 2).tolist()
    first, second = corners[start].tolist(), corners[end].tolist()
    seen = [False] * len(following)
    for beginning in range(len(following)):
        walk: list[_Vertex] = []
        edge = beginning
        while not seen[edge]:
            seen[edge] = True
            walk += [tuple(first[edge]), tuple(second[edge])]
            edge = following[edge]
        if walk:
            yield walk


def _corners(
    inside: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """List the borders' corners by rows: (x, y) [n, 2], and how two in one place pair up [n].

    Where two pixels inside touch only diagonally there are two corners: the first ends the level
    edge to the left, the second begins the one to the right. The upright edges there are dealt out
    so that either border goes round its own pixel; the flag orders them for that.
    """
    padded = np.pad(inside, 1)
    above_left, above_right = padded[:-1, :-1], padded[:-1, 1:]
    below_left, below_right = padded[1:, :-1], padded[1:, 1:]
    diagonal = (above_left == below_right) & (above_right == below_left)
    touching = diagonal & (above_left != above_right)
    odd = above_left ^ above_right ^ below_left ^ below_right
    y, x = np.nonzero(odd | touching)
    twice = touching[y, x]
    # The left edge meets the upper one round a pixel above on the left; else it meets the lower.
    left_meets_lower = twice & above_right[y, x]
    copies = 1 + twice.astype(np.int64)
    which = np.repeat(np.arange(len(x)), copies)
    second = np.diff(which, prepend=-1) == 0
    corners = np.stack([x, y], axis=1)[which]
    return corners, second ^ left_meets_lower[which]


def _simple(walk: list[_Vertex]) -> Iterator[list[_Vertex]]:
    """Cut a walk that comes through one place twice into walks that do not."""
    path: list[_Vertex] = []
    place: dict[_Vertex, int] = {}
    for vertex in walk:
        if vertex in place:
            begin = place[vertex]
            yield path[begin:]
            for passed in path[begin:]:
                del place[passed]
            del path[begin:]
        place[vertex] = len(path)
        path.append(vertex)
    yield path


def _pixel_on_the_right(ring: Sequence[_Vertex]) -> tuple[int, int]:
    """Return (row, column) of a pixel along the first edge, on the inside of the border."""
    (x, y), (to_x, to_y) = ring[0], ring[1]
    if to_y == y:
        return (y, x) if to_x > x else (y - 1, x - 1)
    return (y, x - 1) if to_y > y else (y - 1, x)


def _turns_from_x_to_y(ring: Sequence[_Vertex]) -> bool:
    """Tell an outer border from a hole by the sign of its area."""
    following = (*ring[1:], ring[0])
    return sum(x * v - u * y for (x, y), (u, v) in zip(ring, following, strict=True)) > 0
