"""Organ outlines from any tool: each file becomes one boolean mask of its film's size.

``labelme``, ``coco``, ``cvat``, ``geojson`` and ``seg`` each read one format into annotation sets
of labelled shapes (``annotation_set``); ``choose`` picks the film's set and the organ's shapes in
it; ``polygons`` and ``runs`` turn those into pixels. ``read`` recognises the format and joins
these steps; ``write`` goes the other way, through ``trace``.

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
