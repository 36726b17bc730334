"""Polygons of the shapes that tools store without vertices: boxes and ellipses."""

import math

import numpy as np
import numpy.typing as npt

from gdshare.films.outlines.polygons import Polygon

_VERTICES = 2048
"""Of an ellipse; at a radius of 1,000 px its edges lie up to 0.0012 px inside the curve."""


def polygon(*points: tuple[float, float]) -> Polygon:
    """A polygon without holes from its vertices (x, y), px."""
    return Polygon((np.array(points, dtype=np.float64).reshape(-1, 2),))


def box(
    corner: tuple[float, float], opposite: tuple[float, float], degrees: float = 0.0
) -> Polygon:
    """A box from two opposite corners, rotated about its centre.

    Args:
        corner: x and y, px.
        opposite: x and y, px.
        degrees: clockwise on the screen.
    """
    centre = ((corner[0] + opposite[0]) / 2, (corner[1] + opposite[1]) / 2)
    across, down = abs(corner[0] - opposite[0]) / 2, abs(corner[1] - opposite[1]) / 2
    corners = np.array([(-across, -down), (across, -down), (across, down), (-across, down)])
    return Polygon((_rotate(corners, degrees) + centre,))


def ellipse(
    centre: tuple[float, float], radii: tuple[float, float], degrees: float = 0.0
) -> Polygon:
    """An ellipse, rotated about its centre.

    Args:
        centre: x and y, px.
        radii: along x and along y before the rotation, px.
        degrees: clockwise on the screen.
    """
    angle = np.linspace(0, 2 * math.pi, _VERTICES, endpoint=False)
    vertices = np.stack([np.cos(angle), np.sin(angle)], axis=1) * radii
    return Polygon((_rotate(vertices, degrees) + centre,))


def _rotate(points: npt.NDArray[np.float64], degrees: float) -> npt.NDArray[np.float64]:
    """Rotate float64 [n, 2] clockwise about (0, 0), y pointing down; exact for 0 degrees."""
    angle = math.radians(degrees)
    cosine, sine = math.cos(angle), math.sin(angle)
    x, y = points[:, 0], points[:, 1]
    return np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=1)
