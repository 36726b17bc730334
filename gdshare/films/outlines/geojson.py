"""QuPath's GeoJSON: features with polygons in the film's pixels, classified by name.

A file is a FeatureCollection, a list of features or a single feature; versions of QuPath have
exported all three. Polygons may have holes. The format does not state the film's size.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from gdshare.errors import FilmError
from gdshare.films.outlines.annotation_set import AnnotationSet, Shape
from gdshare.films.outlines.json_text import Coordinate, ListOf, Record, validated
from gdshare.films.outlines.polygons import Polygon

_Position = Annotated[list[Coordinate], Field(min_length=2, max_length=3)]
"""x, y, and by RFC 7946 optionally an altitude, which is ignored."""
_Rings = ListOf[ListOf[_Position]]


class _Geometry(Record):
    type: str
    coordinates: object = None


class _Polygon(Record):
    coordinates: _Rings


class _MultiPolygon(Record):
    coordinates: ListOf[_Rings]


class _Classification(Record):
    """Since QuPath 0.5 a derived class has ``names`` in place of ``name``."""

    name: str | None = None
    names: ListOf[str] = Field(default_factory=list)


class _Properties(Record):
    classification: _Classification | None = None
    name: str | None = None


class _Feature(Record):
    type: Literal["Feature"]
    geometry: _Geometry | None
    properties: _Properties | None = None


class _Collection(Record):
    features: ListOf[_Feature]


def is_geojson(value: object) -> bool:
    """Whether parsed JSON is GeoJSON."""
    if isinstance(value, list):
        return all(isinstance(item, dict) and item.get("type") == "Feature" for item in value)
    return isinstance(value, dict) and value.get("type") in ("FeatureCollection", "Feature")


def parse_geojson(value: object) -> tuple[AnnotationSet, ...]:
    """Turn QuPath's parsed GeoJSON into an annotation set.

    A shape's label is its classification, otherwise its name, otherwise empty. Polygons and
    MultiPolygons enclose an area; lines, points and collections do not.

    Raises:
        FilmError: a field is missing or has another type; the error names no file.
    """
    if isinstance(value, list):
        value = {"features": value}
    elif isinstance(value, dict) and value.get("type") == "Feature":
        value = {"features": [value]}
    features = validated(_Collection, value, "the GeoJSON file").features
    shapes = tuple(_shape(feature, f"features.{number}") for number, feature in enumerate(features))
    return (AnnotationSet(None, None, shapes),)


def _shape(feature: _Feature, place: str) -> Shape:
    label = _label(feature.properties)
    try:
        return Shape(label, *_areas(feature.geometry, place))
    except FilmError as fault:
        return Shape(label, "polygon", (), fault)


def _label(properties: _Properties | None) -> str:
    if properties is None:
        return ""
    kind = properties.classification
    classes = () if kind is None else (kind.name, ": ".join(kind.names))
    return next((name for name in (*classes, properties.name) if name), "")


def _areas(geometry: _Geometry | None, name: str) -> tuple[str, tuple[Polygon, ...]]:
    """The geometry's kind and its polygons."""
    if geometry is None:
        return "feature without geometry", ()
    if geometry.type == "Polygon":
        parts = [validated(_Polygon, {"coordinates": geometry.coordinates}, name).coordinates]
    elif geometry.type == "MultiPolygon":
        parts = validated(_MultiPolygon, {"coordinates": geometry.coordinates}, name).coordinates
    else:
        return geometry.type, ()
    return geometry.type, tuple(
        Polygon(
            tuple(
                np.array([position[:2] for position in ring], np.float64).reshape(-1, 2)
                for ring in rings
            )
        )
        for rings in parts
    )
