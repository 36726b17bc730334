"""LabelMe's JSON: one file a film, its shapes labelled one by one."""

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
from gdshare.films.outlines.annotation_set import AnnotationSet, Raster, Shape, Stamp
from gdshare.films.outlines.json_text import ListOf, Point, Record, Side, fitted
from gdshare.films.outlines.polygons import Polygon
from gdshare.films.outlines.rings import box, ellipse, polygon

_POLYGONS = ("polygon", "oriented_rectangle")
"""A rectangle with all four corners, as tools that descend from LabelMe write, is one too."""


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
    """Tell LabelMe's JSON from others'."""
    return isinstance(value, dict) and "shapes" in value and "imagePath" in value


def labelme_sheets(value: object) -> tuple[AnnotationSet, ...]:
    """Take parsed JSON as LabelMe's.

    Polygons, rectangles, oriented rectangles, circles and masks enclose something; lines, points
    and the rest do not.

    Raises:
        FilmError: a field is missing or of another type, a shape has too few or too many points,
            or a mask is no picture or of another size; the message does not name the file.
    """
    file = fitted(_File, value, "the LabelMe file")
    shapes = tuple(
        Shape(one.label, one.shape_type or "polygon", _areas(one, number, file))
        for number, one in enumerate(file.shapes)
    )
    return (AnnotationSet(file.image_path, (file.image_height, file.image_width), shapes),)


@dataclass(frozen=True)
class _Picture:
    """A mask shape's PNG, decoded only when it is painted.

    Attributes:
        image: opened, of bounded size.
        top, left: where its first pixel lies on the film.
    """

    image: Image.Image
    top: int
    left: int

    @property
    def area(self) -> int:
        return self.image.width * self.image.height

    def paint(self, mask: npt.NDArray[np.bool_]) -> None:
        with _told():
            inside = np.asarray(np.asarray(self.image) != 0, dtype=np.bool_)
        Stamp(self.top, self.left, inside).paint(mask)


def _areas(shape: _Shape, number: int, file: _File) -> tuple[Polygon | Raster, ...]:
    kind = shape.shape_type or "polygon"
    points = [(x, y) for x, y in shape.points]
    if kind in _POLYGONS or (kind == "rectangle" and len(points) == 4):
        return (polygon(*points),)
    if kind not in ("rectangle", "circle", "mask"):
        return ()
    if len(points) != 2:
        raise FilmError(
            f"the {kind} shapes.{number} has not 2 points", remedy="draw it again in LabelMe"
        )
    if kind == "rectangle":
        return (box(points[0], points[1]),)
    if kind == "circle":
        radius = float(np.hypot(points[1][0] - points[0][0], points[1][1] - points[0][1]))
        return (ellipse(points[0], (radius, radius)),)
    return (_mask(shape.mask or "", points[0], points[1], file),)


def _mask(
    encoded: str, first: tuple[float, float], last: tuple[float, float], file: _File
) -> _Picture:
    """Take a mask shape: a PNG in base64, between the centres of its first and last pixel."""
    image = _opened(encoded)
    # A picture larger than the film could only be a bomb; its own edge may be rounded up.
    if image.height > file.image_height + 1 or image.width > file.image_width + 1:
        raise FilmError("a mask shape is larger than its film", remedy="draw it again in LabelMe")
    spanned = (last[1] - first[1] + 1, last[0] - first[0] + 1)
    # Newer versions write fractional corners, which round to one pixel more or less.
    sides = zip(spanned, (image.height, image.width), strict=True)
    if any(abs(span - have) > 1 for span, have in sides):
        raise FilmError(
            "a mask shape is not as large as its points say", remedy="draw it again in LabelMe"
        )
    return _Picture(image, round(first[1]), round(first[0]))


def _opened(encoded: str) -> Image.Image:
    """Read a picture's header: one value a pixel, inside where it is not 0."""
    with _told():
        content = base64.b64decode(encoded, validate=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the bounds here replace pillow's own
            image = Image.open(io.BytesIO(content), formats=("PNG",))
        if image.width * image.height > MAX_PIXELS or image.mode not in ("1", "L", "P"):
            raise FilmError("a mask shape holds a picture that is no mask", remedy="draw it again")
        return image


@contextmanager
def _told() -> Iterator[None]:
    """Turn every fault of a picture into one sentence."""
    try:
        yield
    except FilmError:
        raise
    except (binascii.Error, ValueError) as error:
        raise FilmError(
            "a mask shape holds no picture", remedy="draw it again in LabelMe"
        ) from error
    except Exception as error:  # pillow's decoders raise OSError, SyntaxError, struct.error, ...
        raise FilmError(
            f"a mask shape holds a damaged picture ({error})", remedy="draw it again in LabelMe"
        ) from error
