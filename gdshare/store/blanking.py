"""Blacking out parts of a film.

Blacked out, not cropped: the film keeps its size, so that outlines drawn elsewhere still fit.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gdshare.errors import FilmError
from gdshare.films.box import Box


def blank(
    pixels: npt.NDArray[np.uint16], boxes: Sequence[Box], border: int, path: Path
) -> tuple[npt.NDArray[np.uint16], tuple[Box, ...]]:
    """Black out boxes and a border.

    Args:
        pixels: uint16 [height, width], not modified.
        boxes: clipped to the film.
        border: px along every edge.
        path: the film's name in errors.

    Returns:
        the new pixels, and every blacked-out area as a box.

    Raises:
        FilmError: a box lies off the film, or nothing of the film is left.
    """
    height, width = pixels.shape
    edges = (
        Box(0, 0, width, border),
        Box(0, height - border, width, height),
        Box(0, 0, border, height),
        Box(width - border, 0, width, height),
    )
    if 2 * border >= min(height, width):
        raise FilmError(
            f"a border of {border} px leaves nothing of the film", path, "choose a narrower border"
        )
    result = pixels.copy()
    areas = [_clip(box, width, height, path) for box in (*boxes, *(edges if border else ()))]
    for box in areas:
        result[box.top : box.bottom, box.left : box.right] = 0
    if areas and not result.any():
        raise FilmError("nothing of the film is left", path, "choose smaller boxes")
    return result, tuple(areas)


def _clip(box: Box, width: int, height: int, path: Path) -> Box:
    clipped = Box(max(0, box.left), max(0, box.top), min(width, box.right), min(height, box.bottom))
    if clipped.left >= clipped.right or clipped.top >= clipped.bottom:
        raise FilmError(
            f"the box {box.left},{box.top},{box.right},{box.bottom} lies off the film of "
            f"{width} x {height} px",
            path,
            "choose a box on the film",
        )
    return clipped
