"""QuPath's GeoJSON: features with polygons in the film's pixels, classified by name.

Read are a FeatureCollection, a list of features and a single feature, all of which QuPath has
exported. Polygons come with their holes. The format does not say how large the film was.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from gdshare.films.outlines.annotation_set import AnnotationSet, Shape
from gdshare.films.outlines.json_text import Coordinate, ListOf, Record, fitted
from gdshare.films.outlines.polygons import Polygon

_Position = Annotated[list[Coordinate], Field(min_length=2, max_length=3)]
"""x, y, and by RFC 7946 perhaps a height, which a film has none of."""
_Rings = ListOf[ListOf[_Position]]


class _Geometry(Record):
    type: str
    coordinates: object = None


class _Polygon(Record):
    coordinates: _Rings


class _MultiPolygon(Record):
    coordinates: ListOf[_Rings]


class _Classification(Record):
    """Since QuPath 0.5 a class made of others has ``names`` in place of ``name``."""

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
    """Tell GeoJSON from others' JSON."""
    if isinstance(value, list):
        return all(isinstance(one, dict) and one.get("type") == "Feature" for one in value)
    return isinstance(value, dict) and value.get("type") in ("FeatureCollection", "Feature")


def geojson_sheets(value: object) -> tuple[AnnotationSet, ...]:
    """Take parsed JSON as QuPath's GeoJSON.

    A shape's label is its classification, or else its own name, or else empty. Polygons and
    MultiPolygons enclose something; lines, points and collections do not.

    Raises:
        FilmError: a field is missing or of another type; the message does not name the file.
    """
    if isinstance(value, list):
        value = {"features": value}
    elif isinstance(value, dict) and value.get("type") == "Feature":
        value = {"features": [value]}
    features = fitted(_Collection, value, "the GeoJSON file").features
    shapes = tuple(
        Shape(_label(feature.properties), *_areas(feature.geometry, f"features.{number}"))
        for number, feature in enumerate(features)
    )
    return (AnnotationSet(None, None, shapes),)


def _label(properties: _Properties | None) -> str:
    if properties is None:
        return ""
    told = properties.classification
    classes = () if told is None else (told.name, ": ".join(told.names))
    return next((name for name in (*classes, properties.name) if name), "")


def _areas(geometry: _Geometry | None, what: str) -> tuple[str, tuple[Polygon, ...]]:
    """Return the geometry's kind and its polygons."""
    if geometry is None:
        return "feature without geometry", ()
    if geometry.type == "Polygon":
        parts = [fitted(_Polygon, {"coordinates": geometry.coordinates}, what).coordinates]
    elif geometry.type == "MultiPolygon":
        parts = fitted(_MultiPolygon, {"coordinates": geometry.coordinates}, what).coordinates
    else:
        return geometry.type, ()
    return geometry.type, tuple(
        Polygon(
            tuple(np.array([at[:2] for at in ring], np.float64).reshape(-1, 2) for ring in rings)
        )
        for rings in parts
    )
