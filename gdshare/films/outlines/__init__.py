"""Organ outlines from any annotation tool: each file becomes a boolean mask of its film's size.

``labelme``, ``coco``, ``cvat``, ``geojson`` and ``seg`` each parse one format into annotation sets,
one per film, of labelled shapes (``annotation_set``). ``choose`` picks the film's set and the
organ's shapes in it; ``polygons`` and ``runs`` turn shapes into pixels. ``read`` detects the format
and joins these steps. ``write`` goes the other way, by ``trace``.

Nothing is ever resized: an outline drawn at another size than its film's is an error.
"""

from gdshare.films.outlines.read import AnnotationFile, OrganMask, read_annotations, read_outline
from gdshare.films.outlines.write import WRITERS, write_outline

__all__ = [
    "WRITERS",
    "AnnotationFile",
    "OrganMask",
    "read_annotations",
    "read_outline",
    "write_outline",
]
