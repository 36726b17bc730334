"""From an annotation file of any tool to a mask of the film's size."""

import codecs
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gdshare.errors import FilmError
from gdshare.films.mask import OUTLINE_IT, Interval, read_mask
from gdshare.films.outlines.annotation_set import AnnotationSet, mask_of
from gdshare.films.outlines.choose import annotations_for, organ_shapes
from gdshare.films.outlines.coco import is_coco, parse_coco
from gdshare.films.outlines.cvat import parse_cvat
from gdshare.films.outlines.geojson import is_geojson, parse_geojson
from gdshare.films.outlines.json_text import located, parse_json
from gdshare.films.outlines.labelme import is_labelme, parse_labelme
from gdshare.films.outlines.polygons import Polygon, bounds
from gdshare.films.picture import begins_as_picture
from gdshare.films.signature import HEAD_BYTES, begins_as_dicom
from gdshare.plain_files import open_plain

MAX_BYTES = 256 * 1024**2
"""Of a JSON or XML file: LabelMe may embed the film, COCO may hold the outlines of a cohort."""

_GIVE = "give a mask in PNG or TIFF, DICOM-SEG, LabelMe JSON, COCO JSON, CVAT XML or QuPath GeoJSON"

OVERSHOOT = 0.02
"""Fraction of the film's longer side that an outline may reach beyond the film, by a slip of the
hand. If it reaches further and its file does not state the film's size, it was drawn at another
size."""


@dataclass(frozen=True)
class OrganMask:
    """An organ's outline on a film.

    Attributes:
        name: the organ's label in the file; empty if it has none.
        inside: bool [height, width], of the film's size; not all false.
    """

    name: str
    inside: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class AnnotationFile:
    """An annotation file, read once for all its films.

    Attributes:
        path: the file, for messages.
        annotation_sets: one per film; None for a mask image, which is read with its film's shape.
    """

    path: Path
    annotation_sets: tuple[AnnotationSet, ...] | None

    def outline(
        self,
        shape: tuple[int, int],
        film_name: str,
        organ: str | None,
        image: str | None = None,
        inside: Sequence[Interval] = (),
    ) -> OrganMask:
        """The organ's mask on a film; see ``read_outline``.

        Args:
            shape: (height, width) of the film, px.
            film_name: the film's file name or path.
            organ: the organ's label.
            image: the film's name in the file, if a tool renamed it.
            inside: the values of a mask image that are inside, see ``read_mask``.

        Raises:
            FilmError: see ``read_outline``; or ``image`` is given for a mask image, or ``inside``
                for another file.
        """
        if self.annotation_sets is None:
            if image is not None:
                raise FilmError("is a mask, which names no image", self.path, "leave out --image")
            return OrganMask(organ or "", read_mask(self.path, shape, inside))
        with located(self.path):
            if inside:
                raise FilmError("is not a mask, so it has no values", remedy="leave out --inside")
            annotations = annotations_for(film_name, self.annotation_sets, image)
            if annotations.fault is not None:
                raise annotations.fault
            _require_size(annotations, shape)
            name, shapes = organ_shapes(annotations, self.annotation_sets, organ)
            mask = mask_of(shapes, shape)
            if not mask.any():
                raise FilmError("the outline marks no pixel as inside the organ", remedy=OUTLINE_IT)
            return OrganMask(name, mask)


def read_outline(
    path: Path, shape: tuple[int, int], film_name: str, organ: str | None = None
) -> npt.NDArray[np.bool_]:
    """Read an organ's outline from an annotation file.

    The content decides the format: a mask in PNG or TIFF, DICOM-SEG, LabelMe JSON, COCO JSON
    (polygons and run lengths), CVAT for images 1.1, or QuPath GeoJSON. Holes are outside; several
    parts are united.

    Args:
        path: the file.
        shape: (height, width) of the film, px.
        film_name: the film's file name or path, to find it in a file of many films; ignored for a
            mask image, DICOM-SEG and GeoJSON, which name no film.
        organ: the organ's label; None if the file has only one. Ignored for a mask image, which
            has no labels.

    Returns:
        bool [height, width], true inside the organ; not all false.

    Raises:
        FilmError: the file cannot be read, belongs to another film or to another film size, lacks
            the organ, has several labels and ``organ`` is None, or the outline is empty.
    """
    return read_annotations(path).outline(shape, film_name, organ).inside


def read_annotations(path: Path) -> AnnotationFile:
    """Read an annotation file of any number of films.

    Raises:
        FilmError: the file is missing, too large, in an unknown format, or damaged.
    """
    with located(path):
        head = _bytes(path, HEAD_BYTES)
        is_mask = begins_as_picture(head)
        return AnnotationFile(path, None if is_mask else _annotation_sets(path, head))


def _annotation_sets(path: Path, head: bytes) -> tuple[AnnotationSet, ...]:
    if begins_as_dicom(head):
        from gdshare.films.outlines.seg import read_seg

        return read_seg(path)
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    if start not in (b"<", b"{", b"["):
        raise FilmError("is not in a format that gdshare reads", remedy=_GIVE)
    if path.stat().st_size > MAX_BYTES:
        raise FilmError(
            f"is larger than {MAX_BYTES // 1024**2} MB", remedy="export fewer films per file"
        )
    data = _bytes(path, MAX_BYTES)
    if start == b"<":
        return parse_cvat(data)
    value = parse_json(data)
    for detect, parse in _JSON_FORMATS:
        if detect(value):
            return parse(value)
    raise FilmError("is JSON, but of no tool that gdshare reads", remedy=_GIVE)


_JSON_FORMATS: tuple[
    tuple[Callable[[object], bool], Callable[[object], tuple[AnnotationSet, ...]]], ...
] = (
    (is_labelme, parse_labelme),
    (is_coco, parse_coco),
    (is_geojson, parse_geojson),
)


def _bytes(path: Path, most: int) -> bytes:
    """Read at most this many bytes; the file may grow in the meantime."""
    try:
        with open_plain(path) as stream:
            return stream.read(most)
    except OSError as error:
        raise FilmError(f"cannot be opened ({error.strerror})", remedy="check the path") from error


def _require_size(annotations: AnnotationSet, shape: tuple[int, int]) -> None:
    height, width = shape
    if annotations.size is not None and annotations.size != shape:
        raise FilmError(
            f"the outline was drawn on {annotations.size[1]} x {annotations.size[0]} px "
            f"but its film is {width} x {height}",
            remedy="draw or export it at the film's own size",
        )
    if annotations.size is None:
        polygons = [
            area
            for drawn in annotations.shapes
            for area in drawn.areas
            if isinstance(area, Polygon)
        ]
        left, top, right, bottom = bounds(polygons)
        slip = OVERSHOOT * max(shape)
        if left < -slip or top < -slip or right > width + slip or bottom > height + slip:
            raise FilmError(
                f"the outline reaches beyond its film of {width} x {height} px: x from {left:.0f} "
                f"to {right:.0f}, y from {top:.0f} to {bottom:.0f}",
                remedy="check that it was drawn on this film, at the film's own size",
            )
