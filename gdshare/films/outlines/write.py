"""From a mask to a file for other tools: PNG, or GeoJSON as QuPath writes it."""

import io
import json
import uuid
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from gdshare.errors import UsageError
from gdshare.films.outlines.polygons import Polygon
from gdshare.films.outlines.trace import trace
from gdshare.storage import write_bytes

COLOUR = (200, 0, 0)
"""RGB, of the annotation in QuPath."""
_IDS = uuid.UUID("6f1a52f2-7d0e-5e34-9a36-0f3c3e2d7a51")
"""Namespace of annotation ids; an id is derived from the outline, so files are reproducible."""


def write_outline(mask: npt.NDArray[np.bool_], path: Path, organ: str = "") -> None:
    """Write a mask in the format of the path's suffix, ``.png`` or ``.geojson``.

    Args:
        mask: bool [height, width], true inside the organ.
        path: replaced as a whole or not at all.
        organ: its name, for GeoJSON's classification; empty leaves it unclassified.

    Raises:
        UsageError: the path has another suffix.
    """
    suffix = path.suffix.lower()
    if suffix not in WRITERS:
        raise UsageError("has a suffix of no known format", path, f"use {' or '.join(WRITERS)}")
    write_bytes(path, WRITERS[suffix](mask, organ))


def png(mask: npt.NDArray[np.bool_], organ: str = "") -> bytes:
    """Encode a mask as an 8-bit gray-scale PNG, 0 outside and 255 inside; it stores no name."""
    stream = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(stream, format="PNG")
    return stream.getvalue()


def geojson(mask: npt.NDArray[np.bool_], organ: str = "") -> bytes:
    """Encode a mask as a QuPath annotation: parts and holes along the pixels' edges."""
    parts = [_rings(polygon) for polygon in trace(mask)]
    geometry: dict[str, object] = {"type": "MultiPolygon", "coordinates": parts}
    if len(parts) == 1:
        geometry = {"type": "Polygon", "coordinates": parts[0]}
    properties: dict[str, object] = {"objectType": "annotation"}
    if organ:
        properties["classification"] = {"name": organ, "color": COLOUR}
    feature = {
        "type": "Feature",
        "id": str(uuid.uuid5(_IDS, json.dumps([organ, geometry]))),
        "geometry": geometry,
        "properties": properties,
    }
    collection = {"type": "FeatureCollection", "features": [feature] if parts else []}
    return (json.dumps(collection, ensure_ascii=False) + "\n").encode()


def _rings(polygon: Polygon) -> list[list[list[int]]]:
    """A polygon's rings as integers, each closed with its first vertex (RFC 7946)."""
    rings = [ring.astype(np.int64).tolist() for ring in polygon.rings]
    return [[*ring, ring[0]] for ring in rings]


WRITERS = {".png": png, ".geojson": geojson}
