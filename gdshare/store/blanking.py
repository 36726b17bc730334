"""Making pieces of a film black.

Black, not cut off: the film keeps its size, and an outline drawn on it elsewhere still fits.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gdshare.errors import FilmError
from gdshare.films.box import Box


def blanked(
    pixels: npt.NDArray[np.uint16], boxes: Sequence[Box], border: int, path: Path
) -> tuple[npt.NDArray[np.uint16], tuple[Box, ...]]:
    """Blank boxes and a border.

    Args:
        pixels: uint16 [height, width], not modified.
        boxes: clipped to the film.
        border: px along every edge.
        path: what to call the film in a message.

    Returns:
        the film, and all that was blanked, as boxes.

    Raises:
        FilmError: a box lies off the film, or nothing of it is left.
    """
    height, width = pixels.shape
    edges = (
        Box(0, 0, width, border),
        Box(0, height - border, width, height),
        Box(0, 0, border, height),
        Box(width - border, 0, width, height),
    )
    if 2 * border >= min(height, width):
        raise FilmError(f"a border of {border} px leaves nothing of it", path, "choose a narrower")
    shown = pixels.copy()
    done = [_clipped(box, width, height, path) for box in (*boxes, *(edges if border else ()))]
    for box in done:
        shown[box.top : box.bottom, box.left : box.right] = 0
    if done and not shown.any():
        raise FilmError("nothing of it is left", path, "choose smaller boxes")
    return shown, tuple(done)


def _clipped(box: Box, width: int, height: int, path: Path) -> Box:
    inside = Box(max(0, box.left), max(0, box.top), min(width, box.right), min(height, box.bottom))
    if inside.left >= inside.right or inside.top >= inside.bottom:
        raise FilmError(
            f"the box {box.left},{box.top},{box.right},{box.bottom} lies off the film, "
            f"which is {width} x {height} px",
            path,
        )
    return inside
