"""An annotation file of any tool to one mask of the film's size."""

import codecs
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gdshare.errors import FilmError
from gdshare.films.film import DICOM_MARK, DICOM_PREAMBLE, read_mask
from gdshare.films.outlines.annotation_set import AnnotationSet, cover
from gdshare.films.outlines.choose import shapes_of, sheet_of
from gdshare.films.outlines.coco import coco_sheets, is_coco
from gdshare.films.outlines.cvat import cvat_sheets
from gdshare.films.outlines.geojson import geojson_sheets, is_geojson
from gdshare.films.outlines.json_text import parse_json
from gdshare.films.outlines.labelme import is_labelme, labelme_sheets
from gdshare.films.outlines.polygons import Polygon, bounds

MAX_BYTES = 256 * 1024**2
"""Of a JSON or XML file: LabelMe's may hold the whole film, COCO's a whole cohort's outlines."""

_IMAGES = (b"\x89PNG", b"II*\0", b"MM\0*")
_KNOWN = "a mask in PNG or TIFF, DICOM-SEG, LabelMe JSON, COCO JSON, CVAT XML or QuPath GeoJSON"

OVERSHOOT = 0.02
"""Of the film's longer side: how far a hand may go beyond the film's edge. Further out, an outline
whose file does not state the film's size was drawn at another size."""


@dataclass(frozen=True)
class OrganMask:
    """What an outline comes down to.

    Attributes:
        name: the organ's, as the file has it; empty when it names nothing.
        inside: bool [height, width] of the film; true somewhere.
    """

    name: str
    inside: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Annotations:
    """An annotation file, read once for all the films in it.

    Attributes:
        path: where it lies; every message of ``outline`` begins with it.
        sheets: one a film; None for a mask image, which is read when its film is known.
    """

    path: Path
    sheets: tuple[AnnotationSet, ...] | None

    def outline(self, shape: tuple[int, int], film_name: str, organ: str | None) -> OrganMask:
        """Return the organ's mask on one film; see ``read_outline``."""
        if self.sheets is None:
            return OrganMask(organ or "", read_mask(self.path, shape))
        with _naming(self.path):
            annotations = sheet_of(self.sheets, film_name)
            _require_size(annotations, shape)
            name, chosen = shapes_of(self.sheets, annotations, organ)
            inside = cover(chosen, shape)
            if not inside.any():
                raise FilmError(
                    "the outline marks no pixel as inside the organ",
                    remedy=(
                        "outline the organ, or leave the mask column empty to keep the "
                        "film for classification only"
                    ),
                )
            return OrganMask(name, inside)


def read_outline(
    path: Path, shape: tuple[int, int], film_name: str, organ: str | None = None
) -> npt.NDArray[np.bool_]:
    """Read the outline of an organ from whatever tool it was drawn with.

    The format is told by the content: a mask in PNG or TIFF, DICOM-SEG, LabelMe's JSON, COCO's
    (polygons and run lengths), CVAT for images 1.1, QuPath's GeoJSON. Holes count as outside,
    several parts together as inside.

    Args:
        path: the file.
        shape: (height, width) of the film, px.
        film_name: its file name or path, by which a file of many films is searched; a mask image,
            DICOM-SEG and GeoJSON name no film, so with them it is not asked.
        organ: the label of the organ; None when the file has one label only. A mask image has no
            labels, so with it this is not asked.

    Returns:
        bool [height, width], true inside the organ, somewhere at least.

    Raises:
        FilmError: the file cannot be read, is of another film or of a film of another size, has
            no such organ, or has several and ``organ`` is None, or marks nothing.
    """
    return read_annotations(path).outline(shape, film_name, organ).inside


def read_annotations(path: Path) -> Annotations:
    """Read an annotation file, for any number of films.

    Raises:
        FilmError: not there, too large, of no format known here, or damaged.
    """
    with _naming(path):
        head = _bytes(path, DICOM_PREAMBLE + len(DICOM_MARK))
        return Annotations(path, None if head.startswith(_IMAGES) else _sheets(path, head))


def _sheets(path: Path, head: bytes) -> tuple[AnnotationSet, ...]:
    if head.endswith(DICOM_MARK):
        from gdshare.films.outlines.seg import seg_sheets

        return seg_sheets(path)
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    if start not in (b"<", b"{", b"["):
        raise FilmError("not an annotation that gdshare reads", remedy=f"give {_KNOWN}")
    if path.stat().st_size > MAX_BYTES:
        raise FilmError(
            f"larger than {MAX_BYTES // 1024**2} MB", remedy="export fewer films a file"
        )
    data = _bytes(path, MAX_BYTES)
    if start == b"<":
        return cvat_sheets(data)
    value = parse_json(data)
    for is_it, sheets in _JSON:
        if is_it(value):
            return sheets(value)
    raise FilmError("JSON of no tool that gdshare reads", remedy=f"give {_KNOWN}")


_JSON: tuple[
    tuple[Callable[[object], bool], Callable[[object], tuple[AnnotationSet, ...]]], ...
] = (
    (is_labelme, labelme_sheets),
    (is_coco, coco_sheets),
    (is_geojson, geojson_sheets),
)


def _bytes(path: Path, most: int) -> bytes:
    """Read no more than ``most`` bytes, whatever the file says of its own size."""
    try:
        with path.open("rb") as stream:
            return stream.read(most)
    except FileNotFoundError as error:
        raise FilmError("no such file", remedy="check the path") from error
    except OSError as error:
        raise FilmError(f"cannot be opened ({error.strerror})", remedy="check the path") from error


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the file's path before what the formats say of its content."""
    try:
        yield
    except FilmError as error:
        raise error.at(path) from error


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
            area for one in annotations.shapes for area in one.areas if isinstance(area, Polygon)
        ]
        left, top, right, bottom = bounds(polygons)
        most = OVERSHOOT * max(shape)
        if left < -most or top < -most or right > width + most or bottom > height + most:
            raise FilmError(
                f"the outline reaches beyond its film of {width} x {height} px, to x "
                f"{left:.0f} to {right:.0f}, y {top:.0f} to {bottom:.0f}",
                remedy="check that it was drawn on this film, at the film's own size",
            )
