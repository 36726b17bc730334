"""LabelMe's JSON: one file per film, with a label for each shape."""

import base64
import binascii
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field

from gdshare.errors import FilmError
from gdshare.films.bounds import MAX_PIXELS
from gdshare.films.outlines.annotation_set import AnnotationSet, PlacedMask, Raster, Shape
from gdshare.films.outlines.json_text import ListOf, Point, Record, Side, located, validated
from gdshare.films.outlines.polygons import Polygon
from gdshare.films.outlines.rings import box, ellipse, polygon
from gdshare.films.quote import brief, printable

_REDRAW = "draw it again in LabelMe"
_POLYGONS = ("polygon", "oriented_rectangle")
"""Also a rectangle with all four corners, as tools derived from LabelMe write it."""


class _Shape(Record):
    label: str
    points: ListOf[Point]
    shape_type: str | None = None
    mask: str | None = None


class _File(Record):
    shapes: ListOf[_Shape]
    image_path: str = Field(alias="imagePath")
    image_height: Side = Field(alias="imageHeight")
    image_width: Side = Field(alias="imageWidth")


def is_labelme(value: object) -> bool:
    """Whether parsed JSON is LabelMe's."""
    return isinstance(value, dict) and "shapes" in value and "imagePath" in value


def parse_labelme(value: object) -> tuple[AnnotationSet, ...]:
    """Turn LabelMe's parsed JSON into an annotation set.

    Polygons, rectangles, oriented rectangles, circles and masks enclose an area; lines, points and
    other shapes do not.

    Raises:
        FilmError: a field is missing or has another type, a shape has the wrong number of points,
            or a mask is not a picture or has another size; the error names no file.
    """
    file = validated(_File, value, "the LabelMe file")
    shapes = tuple(
        _shape(shape, f"shapes.{number} ({printable(shape.label)})", file)
        for number, shape in enumerate(file.shapes)
    )
    return (AnnotationSet(file.image_path, (file.image_height, file.image_width), shapes),)


@dataclass(frozen=True)
class _PngMask:
    """The PNG of a mask shape, decoded only when painted.

    Attributes:
        image: opened, of bounded size.
        top, left: row and column of its first pixel on the film.
        place: where it stands in the file.
    """

    image: Image.Image
    top: int
    left: int
    place: str

    @property
    def area(self) -> int:
        return self.image.width * self.image.height

    def paint(self, mask: npt.NDArray[np.bool_]) -> None:
        with located(self.place), _png_errors():
            inside = np.asarray(np.asarray(self.image) != 0, dtype=np.bool_)
        PlacedMask(self.top, self.left, inside).paint(mask)


def _shape(shape: _Shape, place: str, file: _File) -> Shape:
    kind = shape.shape_type or "polygon"
    try:
        with located(place):
            return Shape(shape.label, kind, _areas(shape, place, file))
    except FilmError as fault:
        return Shape(shape.label, kind, (), fault)


def _areas(shape: _Shape, place: str, file: _File) -> tuple[Polygon | Raster, ...]:
    kind = shape.shape_type or "polygon"
    points = [(x, y) for x, y in shape.points]
    if kind in _POLYGONS or (kind == "rectangle" and len(points) == 4):
        return (polygon(*points),)
    if kind not in ("rectangle", "circle", "mask"):
        return ()
    if len(points) != 2:
        raise FilmError(f"the {kind} does not have 2 points", remedy=_REDRAW)
    if kind == "rectangle":
        return (box(points[0], points[1]),)
    if kind == "circle":
        radius = float(np.hypot(points[1][0] - points[0][0], points[1][1] - points[0][1]))
        return (ellipse(points[0], (radius, radius)),)
    return (_mask(shape.mask or "", points[0], points[1], file, place),)


def _mask(
    encoded: str, first: tuple[float, float], last: tuple[float, float], file: _File, place: str
) -> _PngMask:
    """A mask shape: a base64 PNG, placed by the centres of its first and last pixel."""
    image = _open_png(encoded)
    # A picture larger than the film may be a decompression bomb. One pixel more may be rounding.
    if image.height > file.image_height + 1 or image.width > file.image_width + 1:
        raise FilmError("a mask shape is larger than its film", remedy=_REDRAW)
    height, width = last[1] - first[1] + 1, last[0] - first[0] + 1
    # Newer versions write fractional corners, which round to one pixel more or less.
    if abs(height - image.height) > 1 or abs(width - image.width) > 1:
        raise FilmError("a mask shape and its points differ in size", remedy=_REDRAW)
    return _PngMask(image, round(first[1]), round(first[0]), place)


def _open_png(encoded: str) -> Image.Image:
    """Read the header of a PNG with one value per pixel; nonzero is inside."""
    with _png_errors():
        content = base64.b64decode(encoded, validate=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the limits here replace pillow's
            image = Image.open(io.BytesIO(content), formats=("PNG",))
        if image.width * image.height > MAX_PIXELS or image.mode not in ("1", "L", "P"):
            raise FilmError("the picture of a mask shape is no mask", remedy=_REDRAW)
        return image


@contextmanager
def _png_errors() -> Iterator[None]:
    """Raise ``FilmError`` for whatever is wrong with a picture."""
    try:
        yield
    except FilmError:
        raise
    except (binascii.Error, ValueError) as error:
        raise FilmError("a mask shape has no picture", remedy=_REDRAW) from error
    except Exception as error:  # pillow's decoders raise OSError, SyntaxError, struct.error, ...
        raise FilmError(
            f"the picture of a mask shape is damaged ({brief(error)})", remedy=_REDRAW
        ) from error
