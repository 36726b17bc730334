"""From a mask to polygons along its pixels' edges; ``rasterise`` gives the same mask back.

Vertices have whole coordinates, so a polygon's area equals its number of pixels and nothing is
smoothed. Pixels that touch only at a corner belong to different polygons (4-connected), since a
border in GeoJSON must not touch itself.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects, label

from gdshare.films.outlines.polygons import Polygon

_Vertex = tuple[int, int]


def trace(mask: npt.NDArray[np.bool_]) -> list[Polygon]:
    """Outline every connected part of a mask, with its holes.

    Args:
        mask: bool [height, width].

    Returns:
        one polygon per part, in the order of their first pixels; its first ring is the outer
        border, the others are holes. Rings are float64 [n, 2] with whole coordinates and do not
        touch themselves; outer borders turn from x towards y, holes the other way.
    """
    if not mask.any():
        return []
    ((rows, columns),) = find_objects(mask.astype(np.int8))
    inside = mask[rows, columns]
    parts, count = label(inside)
    borders: list[list[_Vertex]] = [[] for _ in range(count + 1)]
    holes: list[list[list[_Vertex]]] = [[] for _ in range(count + 1)]
    for walk in _walks(inside):
        for ring in _simple_rings(walk):
            part = int(parts[_pixel_on_the_right(ring)])
            if _is_outer(ring):
                borders[part] = ring
            else:
                holes[part].append(ring)
    corner = np.array([columns.start, rows.start], dtype=np.float64)
    return [
        Polygon(tuple(np.array(ring, dtype=np.float64) + corner for ring in (border, *inner)))
        for border, inner in zip(borders[1:], holes[1:], strict=True)
    ]


def _walks(inside: npt.NDArray[np.bool_]) -> Iterator[list[_Vertex]]:
    """Walk along the borders with the inside on the right (y points down); yield closed walks.

    Horizontal and vertical edges alternate along a border. In the list of corners by rows, corners
    2k and 2k + 1 are the ends of a horizontal edge; sorted by columns, of a vertical edge.
    """
    corners, order = _corners(inside)
    other_end = np.arange(len(corners)) ^ 1
    by_columns = np.lexsort((order, corners[:, 1], corners[:, 0]))
    vertical_ends = np.empty_like(by_columns)
    vertical_ends[by_columns] = by_columns[other_end]

    left = corners[::2]  # of each horizontal edge
    padded = np.pad(inside, 1)
    rightwards = padded[left[:, 1] + 1, left[:, 0] + 1]  # the pixel below is inside
    start = np.arange(0, len(corners), 2) + ~rightwards
    end = start ^ 1
    following = (vertical_ends[end] // 2).tolist()
    first, second = corners[start].tolist(), corners[end].tolist()
    visited = [False] * len(following)
    for start_edge in range(len(following)):
        walk: list[_Vertex] = []
        edge = start_edge
        while not visited[edge]:
            visited[edge] = True
            walk += [tuple(first[edge]), tuple(second[edge])]
            edge = following[edge]
        if walk:
            yield walk


def _corners(
    inside: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The borders' corners by rows, int64 [n, 2] (x, y), and the order of corners in one place.

    Where two pixels touch only diagonally there are two corners: the first ends the horizontal edge
    to the left, the second begins the one to the right. The flag, bool [n], orders the two for the
    vertical edges, so that each border goes around its own pixel.
    """
    padded = np.pad(inside, 1)
    above_left, above_right = padded[:-1, :-1], padded[:-1, 1:]
    below_left, below_right = padded[1:, :-1], padded[1:, 1:]
    diagonal = (above_left == below_right) & (above_right == below_left)
    touching = diagonal & (above_left != above_right)
    odd = above_left ^ above_right ^ below_left ^ below_right
    y, x = np.nonzero(odd | touching)
    twice = touching[y, x]
    # Around a pixel above on the left the left edge meets the upper one, otherwise the lower one.
    left_meets_lower = twice & above_right[y, x]
    copies = 1 + twice.astype(np.int64)
    index = np.repeat(np.arange(len(x)), copies)
    second = np.diff(index, prepend=-1) == 0
    corners = np.stack([x, y], axis=1)[index]
    return corners, second ^ left_meets_lower[index]


def _simple_rings(walk: list[_Vertex]) -> Iterator[list[_Vertex]]:
    """Cut a walk that visits a vertex twice into rings that do not."""
    path: list[_Vertex] = []
    position: dict[_Vertex, int] = {}
    for vertex in walk:
        if vertex in position:
            start = position[vertex]
            yield path[start:]
            for removed in path[start:]:
                del position[removed]
            del path[start:]
        position[vertex] = len(path)
        path.append(vertex)
    yield path


def _pixel_on_the_right(ring: Sequence[_Vertex]) -> tuple[int, int]:
    """(row, column) of a pixel to the right of the first edge, inside the border."""
    (x, y), (to_x, to_y) = ring[0], ring[1]
    if to_y == y:
        return (y, x) if to_x > x else (y - 1, x - 1)
    return (y, x - 1) if to_y > y else (y - 1, x)


def _is_outer(ring: Sequence[_Vertex]) -> bool:
    """Outer borders have a positive signed area, holes a negative one."""
    following = (*ring[1:], ring[0])
    return sum(x * v - u * y for (x, y), (u, v) in zip(ring, following, strict=True)) > 0
