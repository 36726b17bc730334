"""COCO's instances: one JSON file for many films, polygons or run lengths by category."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field

from gdshare.errors import FilmError
from gdshare.films.outlines.annotation_set import AnnotationSet, Raster, Shape, quoted
from gdshare.films.outlines.json_text import Coordinate, Length, ListOf, Record, Side, fitted
from gdshare.films.outlines.polygons import Polygon
from gdshare.films.outlines.runs import Runs, compact_lengths

_Id = int | str


class _Image(Record):
    id: _Id
    file_name: str
    width: Side
    height: Side


class _Category(Record):
    id: _Id
    name: str


class _Annotation(Record):
    image_id: _Id
    category_id: _Id
    segmentation: object = None


class _File(Record):
    images: ListOf[_Image]
    categories: ListOf[_Category]
    annotations: ListOf[_Annotation]


class _Polygons(Record):
    polygons: ListOf[ListOf[Coordinate]]


class _Runs(Record):
    size: ListOf[Side] = Field(min_length=2, max_length=2)


class _PlainRuns(Record):
    counts: ListOf[Length]


class _CompactRuns(Record):
    counts: str


@dataclass(frozen=True)
class _Compact:
    """Run lengths in compact text, read only for the film that is asked for."""

    text: str
    height: int
    width: int

    @property
    def area(self) -> int:
        return self.height * self.width

    def paint(self, mask: npt.NDArray[np.bool_]) -> None:
        lengths = compact_lengths(self.text)
        Runs(lengths, 0, 0, self.height, self.width, down=True).paint(mask)


def is_coco(value: object) -> bool:
    """Tell COCO's JSON from others'."""
    return isinstance(value, dict) and "images" in value and "annotations" in value


def coco_sheets(value: object) -> tuple[AnnotationSet, ...]:
    """Take parsed JSON as COCO's, one sheet an image; a shape's label is its category's name.

    Several polygons of an annotation are its parts; the format has no holes but in run lengths.

    Raises:
        FilmError: a field is missing or of another type, an id is there twice or not at all, or
            run lengths are of another size than their image; the message does not name the file.
    """
    file = fitted(_File, value, "the COCO file")
    images = {image.id: image for image in file.images}
    names = {category.id: category.name for category in file.categories}
    if len(images) != len(file.images) or len(names) != len(file.categories):
        raise FilmError(
            "the COCO file has the id of an image or category twice", remedy="export it again"
        )
    shapes: defaultdict[_Id, list[Shape]] = defaultdict(list)
    for number, one in enumerate(file.annotations):
        if one.image_id not in images or one.category_id not in names:
            raise FilmError(
                f"annotations.{number} of the COCO file is of an image or category that "
                "is not in it",
                remedy="export them together",
            )
        areas = _areas(one.segmentation, images[one.image_id], f"annotations.{number}")
        kind = "segmentation" if areas else "bounding box"
        shapes[one.image_id].append(Shape(names[one.category_id], kind, areas))
    return tuple(
        AnnotationSet(image.file_name, (image.height, image.width), tuple(shapes[image.id]))
        for image in file.images
    )


def _areas(segmentation: object, image: _Image, what: str) -> tuple[Polygon | Raster, ...]:
    if not segmentation:
        return ()
    if isinstance(segmentation, dict):
        return (_runs(segmentation, image, what),)
    parts = fitted(_Polygons, {"polygons": segmentation}, what).polygons
    if any(len(part) % 2 for part in parts):
        raise FilmError(f"a polygon of {what} has an x without its y", remedy="export it again")
    return tuple(Polygon((np.array(part, dtype=np.float64).reshape(-1, 2),)) for part in parts)


def _runs(segmentation: dict[str, object], image: _Image, what: str) -> Raster:
    height, width = fitted(_Runs, segmentation, what).size
    if (height, width) != (image.height, image.width):
        raise FilmError(
            f"the run lengths of {what} are of {width} x {height} px but its image "
            f"{quoted(image.file_name)} is {image.width} x {image.height}",
            remedy="export it again",
        )
    if isinstance(segmentation.get("counts"), str):
        return _Compact(fitted(_CompactRuns, segmentation, what).counts, height, width)
    lengths = np.array(fitted(_PlainRuns, segmentation, what).counts, dtype=np.int64)
    return Runs(lengths, 0, 0, height, width, down=True)
