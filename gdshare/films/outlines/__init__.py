"""Organ outlines from any tool: each file becomes one boolean mask of its film's size.

``labelme``, ``coco``, ``cvat``, ``geojson`` and ``seg`` take a format apart into sheets of labelled
shapes (``sheet``), ``choose`` finds the film's sheet and the organ's shapes on it, and ``polygons``
and ``runs`` turn those into pixels. ``read`` tells the formats apart and puts the parts together;
``write`` goes the other way, through ``trace``.

Nothing is ever resized: an outline drawn at another size than its film's is an error.
"""

from gdshare.films.outlines.read import Annotations, OrganMask, read_annotations, read_outline
from gdshare.films.outlines.write import WRITERS, write_outline

__all__ = [
    "WRITERS",
    "Annotations",
    "OrganMask",
    "read_annotations",
    "read_outline",
    "write_outline",
]
