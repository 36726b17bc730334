"""COCO instances: one JSON file for many films, with polygons or run lengths by category."""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from pydantic import Field

from gdshare.errors import FilmError
from gdshare.films.outlines.annotation_set import AnnotationSet, Raster, Shape
from gdshare.films.outlines.json_text import (
    Coordinate,
    Length,
    ListOf,
    Record,
    Side,
    located,
    validated,
)
from gdshare.films.outlines.polygons import Polygon
from gdshare.films.outlines.runs import Runs, decode_compact
from gdshare.films.quote import printable

_Id = int | str


class _Extra(Record):
    """Roboflow's: the film's name before it was renamed."""

    name: str | None = None


class _Image(Record):
    id: _Id
    file_name: str
    width: Side
    height: Side
    extra: _Extra | None = None


class _Category(Record):
    id: _Id
    name: str


class _Annotation(Record):
    image_id: _Id
    category_id: _Id
    segmentation: object = None


class _File(Record):
    """Images and annotations are checked singly, since a bad one concerns only its own film."""

    images: ListOf[object]
    categories: ListOf[_Category]
    annotations: ListOf[object]


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
    place: str

    @property
    def area(self) -> int:
        return self.height * self.width

    def paint(self, mask: npt.NDArray[np.bool_]) -> None:
        with located(self.place):
            lengths = decode_compact(self.text)
            Runs(lengths, 0, 0, self.height, self.width, down=True).paint(mask)


@dataclass
class _Film:
    """An entry of ``images`` while its annotations are collected.

    Attributes:
        key: its id; None if it is not readable.
        image: None if it is not as COCO prescribes.
    """

    name: str
    key: _Id | None
    image: _Image | None
    fault: FilmError | None
    shapes: list[Shape] = field(default_factory=list)

    def annotation_set(self) -> AnnotationSet:
        if self.image is None:
            return AnnotationSet(self.name, None, (), fault=self.fault)
        extra = self.image.extra
        return AnnotationSet(
            self.name,
            (self.image.height, self.image.width),
            tuple(self.shapes),
            (extra.name,) if extra is not None and extra.name else (),
            self.fault,
        )


def is_coco(value: object) -> bool:
    """Whether parsed JSON is COCO's."""
    return isinstance(value, dict) and "images" in value and "annotations" in value


def parse_coco(value: object) -> tuple[AnnotationSet, ...]:
    """Turn COCO's parsed JSON into annotation sets, one per image.

    A shape's label is the name of its category. Several polygons of an annotation are united; only
    run lengths can have holes. What is wrong with an image or annotation is kept as its film's
    ``fault``; what belongs to no image, as the fault of the films without annotations.

    Raises:
        FilmError: a list is missing or has another type, or a category is unreadable or its id is
            repeated; the error names no file.
    """
    file = validated(_File, value, "the COCO file")
    names = _category_names(file.categories)
    films = [_film(entry, number) for number, entry in enumerate(file.images)]
    of_key: defaultdict[_Id, list[_Film]] = defaultdict(list)
    for film in films:
        if film.key is not None:
            of_key[film.key].append(film)
    stray: FilmError | None = None
    for number, entry in enumerate(file.annotations):
        key = _key(entry, "image_id")
        owners = [] if key is None else of_key.get(key, [])
        place = _place("annotations", number, entry)
        if not owners:
            stray = stray or FilmError(
                "refers to an image that is not in the file", place, "export them together"
            )
        elif len(owners) == 1:
            _annotate(owners[0], entry, names, place)
    for film in films:
        if film.key is not None and len(of_key[film.key]) > 1:
            film.fault = FilmError(
                f"repeats the id {_quoted(film.key)}, so its annotations may be another image's",
                _title(film.name),
                "export it again",
            )
        elif not film.shapes:
            film.fault = film.fault or stray
    return tuple(film.annotation_set() for film in films)


def _category_names(categories: list[_Category]) -> dict[_Id, str]:
    names: dict[_Id, str] = {}
    for number, category in enumerate(categories):
        if names.setdefault(category.id, category.name) != category.name:
            raise FilmError(
                f"repeats the id {_quoted(category.id)}", f"categories.{number}", "export it again"
            )
    return names


def _film(entry: object, number: int) -> _Film:
    name = entry.get("file_name") if isinstance(entry, dict) else None
    film = _Film(name if isinstance(name, str) else "", _key(entry, "id"), None, None)
    try:
        with located(_title(film.name)):
            film.image = validated(_Image, entry, _place("images", number, entry))
    except FilmError as fault:
        film.fault = fault
    return film


def _annotate(film: _Film, entry: object, names: dict[_Id, str], place: str) -> None:
    """Add an annotation to its film, or its fault."""
    if film.image is None:
        return
    where = _title(film.name)
    try:
        with located(where):
            annotation = validated(_Annotation, entry, place)
            if annotation.category_id not in names:
                raise FilmError(
                    "refers to a category that is not in the file", place, "export them together"
                )
    except FilmError as fault:
        film.fault = film.fault or fault
        return
    label = names[annotation.category_id]
    try:
        with located(where):
            areas = _areas(annotation.segmentation, film.image, place)
    except FilmError as fault:
        film.shapes.append(Shape(label, "segmentation", (), fault))
    else:
        kind = "segmentation" if areas else "bounding box"
        film.shapes.append(Shape(label, kind, areas))


def _key(entry: object, name: str) -> _Id | None:
    key = entry.get(name) if isinstance(entry, dict) else None
    return key if isinstance(key, int | str) and not isinstance(key, bool) else None


def _place(list_name: str, number: int, entry: object) -> str:
    """Where an entry stands: its number from 0, and its id."""
    key = _key(entry, "id")
    return f"{list_name}.{number}" + ("" if key is None else f" (id {_quoted(key)})")


def _title(name: str) -> str:
    return f"image {printable(name)}" if name else "an image without a name"


def _quoted(key: _Id) -> str:
    return printable(key) if isinstance(key, str) else str(key)


def _areas(segmentation: object, image: _Image, place: str) -> tuple[Polygon | Raster, ...]:
    if not segmentation:
        return ()
    if isinstance(segmentation, dict):
        return (_runs(segmentation, image, place),)
    parts = validated(_Polygons, {"polygons": segmentation}, place).polygons
    if any(len(part) % 2 for part in parts):
        raise FilmError("a polygon has an x without a y", place, "export it again")
    return tuple(Polygon((np.array(part, dtype=np.float64).reshape(-1, 2),)) for part in parts)


def _runs(segmentation: dict[str, object], image: _Image, place: str) -> Raster:
    height, width = validated(_Runs, segmentation, place).size
    if (height, width) != (image.height, image.width):
        raise FilmError(
            f"the run lengths are for {width} x {height} px but the image is "
            f"{image.width} x {image.height}",
            place,
            "export it again",
        )
    if isinstance(segmentation.get("counts"), str):
        text = validated(_CompactRuns, segmentation, place).counts
        return _Compact(text, height, width, f"{_title(image.file_name)}: {place}")
    lengths = np.array(validated(_PlainRuns, segmentation, place).counts, dtype=np.int64)
    with located(place):
        return Runs(lengths, 0, 0, height, width, down=True)
