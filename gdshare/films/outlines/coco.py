"""COCO instances: one JSON file for many films, with polygons or run lengths by category."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field

from gdshare.errors import FilmError
from gdshare.films.outlines.annotation_set import AnnotationSet, Raster, Shape
from gdshare.films.outlines.json_text import Coordinate, Length, ListOf, Record, Side, validated
from gdshare.films.outlines.polygons import Polygon
from gdshare.films.outlines.runs import Runs, decode_compact
from gdshare.films.quote import printable

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
    """Run lengths in compact text, decoded only when painted."""

    text: str
    height: int
    width: int

    @property
    def area(self) -> int:
        return self.height * self.width

    def paint(self, mask: npt.NDArray[np.bool_]) -> None:
        lengths = decode_compact(self.text)
        Runs(lengths, 0, 0, self.height, self.width, down=True).paint(mask)


def is_coco(value: object) -> bool:
    """Whether parsed JSON is COCO's."""
    return isinstance(value, dict) and "images" in value and "annotations" in value


def parse_coco(value: object) -> tuple[AnnotationSet, ...]:
    """Turn COCO's parsed JSON into annotation sets, one per image.

    A shape's label is the name of its category. Several polygons of an annotation are united; only
    run lengths can have holes.

    Raises:
        FilmError: a field is missing or has another type, an id is repeated or undefined, or run
            lengths differ from their image in size; the error names no file.
    """
    file = validated(_File, value, "the COCO file")
    images = {image.id: image for image in file.images}
    names = {category.id: category.name for category in file.categories}
    if len(images) != len(file.images) or len(names) != len(file.categories):
        raise FilmError(
            "the COCO file repeats the id of an image or category", remedy="export it again"
        )
    shapes: defaultdict[_Id, list[Shape]] = defaultdict(list)
    for number, entry in enumerate(file.annotations):
        if entry.image_id not in images or entry.category_id not in names:
            raise FilmError(
                f"annotations.{number} of the COCO file refers to an image or category that is not "
                "in the file",
                remedy="export them together",
            )
        areas = _areas(entry.segmentation, images[entry.image_id], f"annotations.{number}")
        kind = "segmentation" if areas else "bounding box"
        shapes[entry.image_id].append(Shape(names[entry.category_id], kind, areas))
    return tuple(
        AnnotationSet(image.file_name, (image.height, image.width), tuple(shapes[image.id]))
        for image in file.images
    )


def _areas(segmentation: object, image: _Image, name: str) -> tuple[Polygon | Raster, ...]:
    if not segmentation:
        return ()
    if isinstance(segmentation, dict):
        return (_runs(segmentation, image, name),)
    parts = validated(_Polygons, {"polygons": segmentation}, name).polygons
    if any(len(part) % 2 for part in parts):
        raise FilmError(f"a polygon of {name} has an x without a y", remedy="export it again")
    return tuple(Polygon((np.array(part, dtype=np.float64).reshape(-1, 2),)) for part in parts)


def _runs(segmentation: dict[str, object], image: _Image, name: str) -> Raster:
    height, width = validated(_Runs, segmentation, name).size
    if (height, width) != (image.height, image.width):
        raise FilmError(
            f"the run lengths of {name} are for {width} x {height} px but its image "
            f"{printable(image.file_name)} is {image.width} x {image.height}",
            remedy="export it again",
        )
    if isinstance(segmentation.get("counts"), str):
        return _Compact(validated(_CompactRuns, segmentation, name).counts, height, width)
    lengths = np.array(validated(_PlainRuns, segmentation, name).counts, dtype=np.int64)
    return Runs(lengths, 0, 0, height, width, down=True)
