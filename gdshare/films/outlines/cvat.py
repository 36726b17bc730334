"""CVAT for images 1.1: one XML file for many films, their shapes as elements with attributes."""

from typing import TYPE_CHECKING

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring
from pydantic import ConfigDict

from gdshare.errors import FilmError
from gdshare.films.outlines.annotation_set import AnnotationSet, Raster, Shape
from gdshare.films.outlines.json_text import Coordinate, Length, Record, Side, fitted
from gdshare.films.outlines.polygons import Polygon
from gdshare.films.outlines.rings import box, ellipse
from gdshare.films.outlines.runs import Runs

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_ELEMENTS = 5_000_000
"""In one file, and as many attributes: they take 2 GB in memory at worst."""


class _Element(Record):
    """Attributes are text; a number is what reads as one."""

    model_config = ConfigDict(strict=False)


class _Image(_Element):
    """Of a project, images of the same name may lie in different subsets."""

    name: str
    subset: str = ""
    width: Side
    height: Side


class _Labelled(_Element):
    label: str


class _Points(_Element):
    points: str


class _Box(_Element):
    xtl: Coordinate
    ytl: Coordinate
    xbr: Coordinate
    ybr: Coordinate
    rotation: Coordinate = 0.0


class _Ellipse(_Element):
    cx: Coordinate
    cy: Coordinate
    rx: Coordinate
    ry: Coordinate
    rotation: Coordinate = 0.0


class _Mask(_Element):
    rle: str
    left: Length
    top: Length
    width: Side
    height: Side


_ENCLOSING = ("polygon", "box", "ellipse", "mask")
_OTHERS = ("polyline", "points", "cuboid", "skeleton")


def cvat_sheets(data: bytes) -> tuple[AnnotationSet, ...]:
    """Read a CVAT for images file, one sheet an image.

    Polygons, boxes, ellipses and masks enclose something; the other shapes do not, and tags are
    no shapes.

    Args:
        data: the file, of bounded size.

    Raises:
        FilmError: not XML in UTF-8, with a document type or entities, too many elements, not
            CVAT's, or an attribute missing or no number; the message does not name the file.
    """
    images = _root(data).findall("image")
    if not images:
        raise FilmError("holds no image", remedy="export it from CVAT as 'CVAT for images 1.1'")
    return tuple(_sheet(image) for image in images)


def _root(data: bytes) -> "Element":
    # Before any memory is spent; "=" also counts what is in text, of which CVAT writes little.
    if data.count(b"<") > 2 * MAX_ELEMENTS or data.count(b"=") > MAX_ELEMENTS:
        raise FilmError(f"holds over {MAX_ELEMENTS:,} elements", remedy="export fewer films a file")
    try:
        # As text: whatever encoding the document itself claims no longer matters.
        root: Element = fromstring(data.decode("utf-8-sig"), forbid_dtd=True)
    except DefusedXmlException as error:
        raise FilmError(
            "declares a document type or entities, which CVAT never does", remedy="export it again"
        ) from error
    except (ParseError, ValueError) as error:
        raise FilmError(f"is not readable XML ({error})", remedy="export it again") from error
    if root.tag != "annotations":
        raise FilmError(
            "is XML, but not CVAT's", remedy="export it from CVAT as 'CVAT for images 1.1'"
        )
    return root


def _sheet(element: "Element") -> AnnotationSet:
    image = fitted(_Image, element.attrib, "an image")
    shapes = tuple(
        Shape(fitted(_Labelled, one.attrib, f"a {one.tag}").label, one.tag, _areas(one, image))
        for one in element
        if one.tag in (*_ENCLOSING, *_OTHERS)
    )
    return AnnotationSet(
        f"{image.subset}/{image.name}".removeprefix("/"), (image.height, image.width), shapes
    )


def _areas(element: "Element", image: _Image) -> tuple[Polygon | Raster, ...]:
    if element.tag == "polygon":
        return (_polygon(fitted(_Points, element.attrib, "a polygon").points),)
    if element.tag == "box":
        own = fitted(_Box, element.attrib, "a box")
        return (box((own.xtl, own.ytl), (own.xbr, own.ybr), own.rotation),)
    if element.tag == "ellipse":
        oval = fitted(_Ellipse, element.attrib, "an ellipse")
        return (ellipse((oval.cx, oval.cy), (oval.rx, oval.ry), oval.rotation),)
    if element.tag == "mask":
        return (_mask(fitted(_Mask, element.attrib, "a mask"), image),)
    return ()


def _polygon(text: str) -> Polygon:
    """Read vertices written as ``x,y;x,y``."""
    try:
        points = [(float(x), float(y)) for x, y in (at.split(",") for at in text.split(";"))]
    except ValueError as error:
        raise FilmError(
            "the points of a polygon are not x,y;x,y", remedy="export it again"
        ) from error
    return Polygon((np.array(points, dtype=np.float64),))


def _mask(own: _Mask, image: _Image) -> Runs:
    if own.left + own.width > image.width or own.top + own.height > image.height:
        raise FilmError("a mask reaches beyond its image", remedy="export it again")
    try:
        lengths = np.array([int(run) for run in own.rle.split(",")], dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise FilmError(
            "the run lengths of a mask are not whole numbers", remedy="export it"
        ) from error
    return Runs(lengths, own.top, own.left, own.height, own.width, down=False)
