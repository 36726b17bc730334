"""Rings of the shapes that tools store by other figures than vertices: boxes and ellipses."""

import math

import numpy as np
import numpy.typing as npt

from gdshare.films.outlines.polygons import Polygon

_VERTICES = 2048
"""Of an ellipse: on a radius of 1,000 px its edges run 0.0012 px inside the curve."""


def polygon(*points: tuple[float, float]) -> Polygon:
    """Make a polygon without holes of its vertices (x, y), px."""
    return Polygon((np.array(points, dtype=np.float64).reshape(-1, 2),))


def box(
    corner: tuple[float, float], opposite: tuple[float, float], degrees: float = 0.0
) -> Polygon:
    """Make a box of two opposite corners, turned about its middle.

    Args:
        corner: x and y, px.
        opposite: likewise.
        degrees: clockwise as seen on the screen.
    """
    middle = ((corner[0] + opposite[0]) / 2, (corner[1] + opposite[1]) / 2)
    across, down = abs(corner[0] - opposite[0]) / 2, abs(corner[1] - opposite[1]) / 2
    around = np.array([(-across, -down), (across, -down), (across, down), (-across, down)])
    return Polygon((_turned(around, degrees) + middle,))


def ellipse(
    centre: tuple[float, float], radii: tuple[float, float], degrees: float = 0.0
) -> Polygon:
    """Make an ellipse.

    Args:
        centre: x and y, px.
        radii: along x and along y before turning, px.
        degrees: clockwise as seen on the screen.
    """
    angle = np.linspace(0, 2 * math.pi, _VERTICES, endpoint=False)
    around = np.stack([np.cos(angle), np.sin(angle)], axis=1) * radii
    return Polygon((_turned(around, degrees) + centre,))


def _turned(points: npt.NDArray[np.float64], degrees: float) -> npt.NDArray[np.float64]:
    """Turn [n, 2] clockwise about (0, 0), y pointing down; by 0 degrees exactly not at all."""
    angle = math.radians(degrees)
    cosine, sine = math.cos(angle), math.sin(angle)
    x, y = points[:, 0], points[:, 1]
    return np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=1)
