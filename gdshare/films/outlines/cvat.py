"""CVAT for images 1.1: one XML file for many films; a shape is an element with attributes."""

from typing import TYPE_CHECKING

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring
from pydantic import ConfigDict

from gdshare.errors import FilmError
from gdshare.films.outlines.annotation_set import AnnotationSet, Raster, Shape
from gdshare.films.outlines.json_text import Coordinate, Length, Record, Side, validated
from gdshare.films.outlines.polygons import Polygon
from gdshare.films.outlines.rings import box, ellipse
from gdshare.films.outlines.runs import Runs

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_ELEMENTS = 5_000_000
"""Limit for a file, and for its attributes: they take at most 2 GB of memory."""


class _Element(Record):
    """Attributes are text, so numbers are parsed from it."""

    model_config = ConfigDict(strict=False)


class _Image(_Element):
    """In a project, images in different subsets may have the same name."""

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
_EXPORT = "export it from CVAT as 'CVAT for images 1.1'"


def parse_cvat(data: bytes) -> tuple[AnnotationSet, ...]:
    """Parse a "CVAT for images" file into annotation sets, one per image.

    Polygons, boxes, ellipses and masks enclose an area, other shapes do not. Tags are ignored.

    Args:
        data: the file's content; the caller bounds its size.

    Raises:
        FilmError: not XML in UTF-8, declares a document type or entities, has too many elements, is
            not CVAT's, or an attribute is missing or not a number; the error names no file.
    """
    images = _root(data).findall("image")
    if not images:
        raise FilmError("has no image", remedy=_EXPORT)
    return tuple(_annotation_set(image) for image in images)


def _root(data: bytes) -> "Element":
    # Checked before parsing, which takes memory. "=" may occur in text too; CVAT writes little.
    if data.count(b"<") > 2 * MAX_ELEMENTS or data.count(b"=") > MAX_ELEMENTS:
        raise FilmError(f"has over {MAX_ELEMENTS:,} elements", remedy="export fewer films per file")
    try:
        # Decoded here, so that the encoding that the document declares does not matter.
        root: Element = fromstring(data.decode("utf-8-sig"), forbid_dtd=True)
    except DefusedXmlException as error:
        raise FilmError(
            "declares a document type or entities, which CVAT never does", remedy="export it again"
        ) from error
    except (ParseError, ValueError) as error:
        raise FilmError(f"is not readable XML ({error})", remedy="export it again") from error
    if root.tag != "annotations":
        raise FilmError("is XML, but not CVAT's", remedy=_EXPORT)
    return root


def _annotation_set(element: "Element") -> AnnotationSet:
    image = validated(_Image, element.attrib, "an image")
    shapes = tuple(
        Shape(
            validated(_Labelled, child.attrib, f"a {child.tag}").label,
            child.tag,
            _areas(child, image),
        )
        for child in element
        if child.tag in (*_ENCLOSING, *_OTHERS)
    )
    return AnnotationSet(
        f"{image.subset}/{image.name}".removeprefix("/"), (image.height, image.width), shapes
    )


def _areas(element: "Element", image: _Image) -> tuple[Polygon | Raster, ...]:
    if element.tag == "polygon":
        return (_polygon(validated(_Points, element.attrib, "a polygon").points),)
    if element.tag == "box":
        sides = validated(_Box, element.attrib, "a box")
        return (box((sides.xtl, sides.ytl), (sides.xbr, sides.ybr), sides.rotation),)
    if element.tag == "ellipse":
        oval = validated(_Ellipse, element.attrib, "an ellipse")
        return (ellipse((oval.cx, oval.cy), (oval.rx, oval.ry), oval.rotation),)
    if element.tag == "mask":
        return (_mask(validated(_Mask, element.attrib, "a mask"), image),)
    return ()


def _polygon(text: str) -> Polygon:
    """Parse vertices written as ``x,y;x,y``."""
    try:
        points = [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split(";"))]
    except ValueError as error:
        raise FilmError(
            "the points of a polygon are not x,y;x,y", remedy="export it again"
        ) from error
    return Polygon((np.array(points, dtype=np.float64),))


def _mask(mask: _Mask, image: _Image) -> Runs:
    if mask.left + mask.width > image.width or mask.top + mask.height > image.height:
        raise FilmError("a mask reaches beyond its image", remedy="export it again")
    try:
        lengths = np.array([int(run) for run in mask.rle.split(",")], dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise FilmError(
            "the run lengths of a mask are not whole numbers", remedy="export it again"
        ) from error
    return Runs(lengths, mask.top, mask.left, mask.height, mask.width, down=False)
