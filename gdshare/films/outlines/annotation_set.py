"""The common form of all annotation formats: annotation sets of labelled shapes, one per film."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gdshare.errors import FilmError
from gdshare.films.outlines.polygons import Polygon, bounds, rasterise
from gdshare.films.quote import printable

MAX_NAMES = 10
"""Number of names that a message lists."""
MAX_PAINTED = 5_000_000_000
"""px of all rasters of a film together: a thousand masks of 5 million px, or 80 of the largest
films; painting them takes a few seconds."""


class Raster(Protocol):
    """An area given by pixels: run lengths, a picture or a DICOM frame."""

    @property
    def area(self) -> int:
        """Number of px decoded to paint it."""

    def paint(self, mask: npt.NDArray[np.bool_]) -> None:
        """Set the pixels inside to true, in place, in the film's mask: bool [height, width]."""


@dataclass(frozen=True)
class PlacedMask:
    """A small mask at some position on the film.

    Attributes:
        top: row of its first pixel; may be negative.
        left: column of its first pixel; may be negative.
        inside: bool [height, width]; the part beyond the film is cut off.
    """

    top: int
    left: int
    inside: npt.NDArray[np.bool_]

    @property
    def area(self) -> int:
        """See ``Raster``."""
        return self.inside.size

    def paint(self, mask: npt.NDArray[np.bool_]) -> None:
        """See ``Raster``."""
        rows, own_rows = _overlap(self.top, self.inside.shape[0], mask.shape[0])
        columns, own_columns = _overlap(self.left, self.inside.shape[1], mask.shape[1])
        mask[rows, columns] |= self.inside[own_rows, own_columns]


def _overlap(start: int, length: int, limit: int) -> tuple[slice, slice]:
    """The part of [start, start + length) within [0, limit), as slices of the film and of it."""
    first, last = max(start, 0), max(min(start + length, limit), 0)
    return slice(first, last), slice(first - start, max(last, first) - start)


@dataclass(frozen=True)
class Shape:
    """A shape drawn on a film.

    Attributes:
        label: the name that the tool displays; may be empty.
        kind: the tool's word for it, such as "polygon" or "polyline".
        areas: their union is the shape; empty for a kind that encloses nothing.
        fault: what is wrong with it, and where; raised only when its organ on its film is read.
    """

    label: str
    kind: str
    areas: tuple[Polygon | Raster, ...]
    fault: FilmError | None = None


@dataclass(frozen=True)
class AnnotationSet:
    """The annotations of one film in a file.

    Attributes:
        film: the film's file name or path in the tool; None if the format has none.
        size: (height, width) of the film as the file states it, px; None if it does not.
        shapes: in the file's order.
        other_names: what the film was called before the tool renamed it, if the file says so.
        fault: what is wrong with the film's entry, or with a shape of unknown label; raised only
            when this film is read.
    """

    film: str | None
    size: tuple[int, int] | None
    shapes: tuple[Shape, ...]
    other_names: tuple[str, ...] = ()
    fault: FilmError | None = None


def name_list(names: Sequence[str]) -> str:
    """The first ``MAX_NAMES`` names for a message, and how many more there are."""
    text = ", ".join(printable(name) if name else "(no name)" for name in names[:MAX_NAMES])
    return text + (f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else "")


def mask_of(shapes: Sequence[Shape], film_shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The union of shapes as a mask.

    Args:
        shapes: any number of shapes.
        film_shape: (height, width), px.

    Returns:
        bool [height, width], true inside.

    Raises:
        FilmError: the polygons exceed a limit of ``rasterise`` or lie wholly beyond the film, or
            the rasters exceed ``MAX_PAINTED``; the error names no file.
    """
    areas = [area for shape in shapes for area in shape.areas]
    polygons = [area for area in areas if isinstance(area, Polygon)]
    rasters = [area for area in areas if not isinstance(area, Polygon)]
    painted = sum(raster.area for raster in rasters)
    if painted > MAX_PAINTED:
        raise FilmError(
            f"has {len(rasters):,} masks of {painted:,} px in all on one film ({MAX_PAINTED:,} px "
            "at most)",
            remedy="export a single mask",
        )
    mask = rasterise(polygons, film_shape)
    height, width = film_shape
    left, top, right, bottom = bounds(polygons)
    if left >= width or top >= height or right <= 0 or bottom <= 0:
        raise FilmError(
            f"the outline lies wholly outside its film of {width} x {height} px",
            remedy="check that it was drawn on this film, at the film's own size",
        )
    for raster in rasters:
        raster.paint(mask)
    return mask
