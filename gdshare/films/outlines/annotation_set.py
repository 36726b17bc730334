"""What every annotation file comes down to: sheets of labelled shapes, one sheet a film."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gdshare.errors import FilmError
from gdshare.films.outlines.polygons import Polygon, bounds, rasterise

MOST_NAMES = 10
"""That a message lists."""
MAX_PAINTED = 5_000_000_000
"""px of all rasters of one film: a thousand masks of 5 million, or 80 of the largest films; a few
seconds."""


class Raster(Protocol):
    """Pixels of a film that a tool marked as such: run lengths, a picture, a DICOM frame."""

    @property
    def area(self) -> int:
        """How many px it lays out in order to paint."""

    def paint(self, mask: npt.NDArray[np.bool_]) -> None:
        """Set true, in bool [height, width] of the film, what is inside."""


@dataclass(frozen=True)
class Stamp:
    """A small mask that lies somewhere on the film.

    Attributes:
        top: row of its first pixel; may be negative.
        left: column of its first pixel; may be negative.
        inside: bool [height, width]; what reaches beyond the film is cut off.
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


def _overlap(begin: int, length: int, limit: int) -> tuple[slice, slice]:
    """Return where [begin, begin + length) lies within [0, limit), and what part of it that is."""
    first, last = max(begin, 0), max(min(begin + length, limit), 0)
    return slice(first, last), slice(first - begin, max(last, first) - begin)


@dataclass(frozen=True)
class Shape:
    """One thing drawn on a film.

    Attributes:
        label: the name the tool shows; empty when it has none.
        kind: what the tool calls it, such as "polygon" or "polyline".
        areas: what it covers, together; empty for a kind that encloses nothing.
    """

    label: str
    kind: str
    areas: tuple[Polygon | Raster, ...]


@dataclass(frozen=True)
class AnnotationSet:
    """What a file says about one film.

    Attributes:
        film: the film's file name or path in the tool; None where the format has none.
        size: (height, width) of the film as the file states it, px; None where it does not.
        shapes: in the file's order.
    """

    film: str | None
    size: tuple[int, int] | None
    shapes: tuple[Shape, ...]


def quoted(text: str) -> str:
    """Show a name from a file: escaped where it could steer a terminal, at most 60 characters.

    Letters of any script stay themselves, since organs are named in the hospital's language.
    """
    return repr(text if len(text) <= 60 else text[:60] + "...")


def listed(names: Sequence[str]) -> str:
    """List names for a message, quoted, ten at most."""
    shown = ", ".join(quoted(name) if name else "(no name)" for name in names[:MOST_NAMES])
    return shown + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")


def cover(shapes: Sequence[Shape], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Mark what any of the shapes covers: bool of the film's (height, width).

    Raises:
        FilmError: polygons beyond ``rasterise``'s bounds, or all of them off the film; more rasters
            than any film has; the message does not name the file.
    """
    areas = [area for one in shapes for area in one.areas]
    polygons = [area for area in areas if isinstance(area, Polygon)]
    rasters = [area for area in areas if not isinstance(area, Polygon)]
    painted = sum(raster.area for raster in rasters)
    if painted > MAX_PAINTED:
        raise FilmError(
            f"{len(rasters):,} masks of {painted:,} px in all lie on one film ({MAX_PAINTED:,} "
            "px at most)",
            remedy="export a single mask",
        )
    mask = rasterise(polygons, shape)
    left, top, right, bottom = bounds(polygons)
    if left >= shape[1] or top >= shape[0] or right <= 0 or bottom <= 0:
        raise FilmError(
            f"the outline lies wholly beside its film of {shape[1]} x {shape[0]} px",
            remedy="check that it was drawn on this film, at the film's own size",
        )
    for raster in rasters:
        raster.paint(mask)
    return mask
