"""CVAT for images 1.1: one XML file for many films; a shape is an element with attributes."""

from codecs import BOM_UTF8
from functools import cached_property
from typing import TYPE_CHECKING
from xml.parsers.expat import ParserCreate

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring
from pydantic import ConfigDict

from gdshare.errors import FilmError
from gdshare.films.outlines.annotation_set import AnnotationSet, Raster, Shape
from gdshare.films.outlines.json_text import Coordinate, Length, Record, Side, validated
from gdshare.films.outlines.polygons import MAX_COORDINATE, Polygon
from gdshare.films.outlines.rings import box, ellipse
from gdshare.films.outlines.runs import Runs
from gdshare.films.quote import printable

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
    What is wrong with an image or shape is kept as its ``fault``, with the line in the file.

    Args:
        data: the file's content; the caller bounds its size.

    Raises:
        FilmError: not XML in UTF-8, declares a document type or entities, has too many elements, is
            or not CVAT's; the error names no file.
    """
    root = _root(data)
    images = root.findall("image")
    if not images:
        raise FilmError("has no image", remedy=_EXPORT)
    lines = _Lines(data, root)
    return tuple(_annotation_set(image, lines) for image in images)


class _Lines:
    """The line on which each element begins, looked up only for an error."""

    def __init__(self, data: bytes, root: "Element") -> None:
        self._data, self._root = data, root

    def of(self, element: "Element") -> int:
        return self._lines[element]

    @cached_property
    def _lines(self) -> dict["Element", int]:
        starts: list[int] = []
        parser = ParserCreate("utf-8")
        parser.StartElementHandler = lambda tag, attributes: starts.append(parser.CurrentLineNumber)
        parser.Parse(self._data.removeprefix(BOM_UTF8), True)
        return dict(zip(self._root.iter(), starts, strict=True))


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


def _annotation_set(element: "Element", lines: _Lines) -> AnnotationSet:
    try:
        image = validated(_Image, element.attrib, "the element")
    except FilmError as error:
        name = element.get("name", "")
        place = f"{_title(name)}, line {lines.of(element)}"
        return AnnotationSet(name, None, (), fault=error.at(place))
    shapes: list[Shape] = []
    fault: FilmError | None = None
    for child in element:
        if child.tag not in (*_ENCLOSING, *_OTHERS):
            continue
        try:
            label = validated(_Labelled, child.attrib, "the element").label
        except FilmError as error:
            fault = fault or error.at(_place(child, image, lines))
            continue
        try:
            shapes.append(Shape(label, child.tag, _areas(child, image)))
        except FilmError as error:
            shapes.append(Shape(label, child.tag, (), error.at(_place(child, image, lines))))
    name = f"{image.subset}/{image.name}".removeprefix("/")
    return AnnotationSet(name, (image.height, image.width), tuple(shapes), fault=fault)


def _place(element: "Element", image: _Image, lines: _Lines) -> str:
    label = element.get("label")
    shape = element.tag if label is None else f"{element.tag} {printable(label)}"
    return f"{_title(image.name)}, {shape} on line {lines.of(element)}"


def _title(name: str) -> str:
    return f"image {printable(name)}" if name else "an image without a name"


def _areas(element: "Element", image: _Image) -> tuple[Polygon | Raster, ...]:
    if element.tag == "polygon":
        return (_polygon(validated(_Points, element.attrib, "the element").points),)
    if element.tag == "box":
        sides = validated(_Box, element.attrib, "the element")
        return (box((sides.xtl, sides.ytl), (sides.xbr, sides.ybr), sides.rotation),)
    if element.tag == "ellipse":
        oval = validated(_Ellipse, element.attrib, "the element")
        return (ellipse((oval.cx, oval.cy), (oval.rx, oval.ry), oval.rotation),)
    if element.tag == "mask":
        return (_mask(validated(_Mask, element.attrib, "the element"), image),)
    return ()


def _polygon(text: str) -> Polygon:
    """Parse vertices written as ``x,y;x,y``."""
    try:
        points = [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split(";"))]
    except ValueError as error:
        raise FilmError("its points are not x,y;x,y", remedy="export it again") from error
    ring = np.array(points, dtype=np.float64)
    if not (np.abs(ring) <= MAX_COORDINATE).all():  # false for NaN
        raise FilmError("a point is not a position on a film", remedy="draw it again")
    return Polygon((ring,))


def _mask(mask: _Mask, image: _Image) -> Runs:
    if mask.left + mask.width > image.width or mask.top + mask.height > image.height:
        raise FilmError("reaches beyond its image", remedy="export it again")
    try:
        lengths = np.array([int(run) for run in mask.rle.split(",")], dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise FilmError(
            "its run lengths are not whole numbers", remedy="export it again"
        ) from error
    return Runs(lengths, mask.top, mask.left, mask.height, mask.width, down=False)
