"""Choosing the film's annotation set, and the organ's shapes in it."""

import re
import unicodedata
from collections.abc import Sequence

from gdshare.errors import FilmError
from gdshare.films.outlines.annotation_set import AnnotationSet, Shape, name_list
from gdshare.films.quote import printable

_IMAGE_SUFFIX = re.compile(r"\.(?:png|jpe?g|jpe|jp2|tiff?|bmp|gif|webp|dcm|dicom)$", re.IGNORECASE)
"""The tool may have shown the film as a copy in another format. No other suffix is ignored: the
number after the last dot of a DICOM file's name often distinguishes patients."""


def annotations_for(film_name: str, annotation_sets: Sequence[AnnotationSet]) -> AnnotationSet:
    """Find a film's annotation set by the film's file name.

    An exact match of the file name comes first, then a match without the suffix of the image
    format. Among several matches, the one that shares most folders wins.

    Args:
        film_name: file name or path, with slashes or backslashes.
        annotation_sets: at least one.

    Raises:
        FilmError: no match, or several equally good ones; the error names no file.
    """
    if len(annotation_sets) == 1 and annotation_sets[0].film is None:
        return annotation_sets[0]
    *folders, name = _parts(film_name)
    by_path = [(_parts(annotations.film or ""), annotations) for annotations in annotation_sets]
    matches = [(parts, annotations) for parts, annotations in by_path if parts[-1] == name]
    if not matches:
        stem = _IMAGE_SUFFIX.sub("", name)
        matches = [
            (parts, annotations)
            for parts, annotations in by_path
            if _IMAGE_SUFFIX.sub("", parts[-1]) == stem
        ]
    if not matches:
        raise FilmError(
            f"has no annotation of the film {printable(name)}, only of "
            f"{name_list([annotations.film or '' for annotations in annotation_sets])}",
            remedy="give the annotation file of this film",
        )
    closeness = [_common_folders(parts[:-1], folders) for parts, _ in matches]
    nearest = [
        annotations
        for (_, annotations), common in zip(matches, closeness, strict=True)
        if common == max(closeness)
    ]
    if len(nearest) > 1:
        raise FilmError(
            f"names several films that may be {printable(name)}: "
            f"{name_list([annotations.film or '' for annotations in nearest])}",
            remedy="give each film its own file name",
        )
    return nearest[0]


def organ_shapes(
    annotations: AnnotationSet, annotation_sets: Sequence[AnnotationSet], organ: str | None
) -> tuple[str, tuple[Shape, ...]]:
    """Find the organ's shapes on a film.

    Args:
        annotations: the film's.
        annotation_sets: all of the file's. Without ``organ`` the whole file may have only one
            label, so that all films are outlined for the same organ.
        organ: the organ's label; None if the file has only one.

    Returns:
        the label, empty if there is none, and all shapes with it.

    Raises:
        FilmError: several labels and no ``organ``, no such label on this film, or a shape that
            encloses nothing; the error names no file.
    """
    if organ is None:
        labels = _labels(annotation_sets)
        if len(labels) > 1:
            raise FilmError(
                f"has several labels: {name_list(labels)}",
                remedy="choose the organ's label with --organ NAME",
            )
        organ = labels[0] if labels else ""
    elif _normal(organ) not in map(_normal, labels := _labels([annotations])):
        others = f"only {name_list(labels)}" if labels else "nor any other"
        raise FilmError(
            f"has no label {printable(organ)} on this film, {others}",
            remedy="check --organ, or outline the organ",
        )
    shapes = tuple(shape for shape in annotations.shapes if _normal(shape.label) == _normal(organ))
    for shape in shapes:
        if not shape.areas:
            raise FilmError(
                f"marks {printable(organ)} with a {printable(shape.kind)}, which encloses nothing",
                remedy="outline the organ with polygons",
            )
    return organ, shapes


def _labels(annotation_sets: Sequence[AnnotationSet]) -> list[str]:
    """All labels without repetition, in their order."""
    return list(
        dict.fromkeys(
            shape.label for annotations in annotation_sets for shape in annotations.shapes
        )
    )


def _normal(name: str) -> str:
    """Unicode NFC: systems differ in how they compose accents and kana."""
    return unicodedata.normalize("NFC", name)


def _parts(path: str) -> list[str]:
    """The folders and the file name of a path with slashes or backslashes; at least [""]."""
    return _normal(path).replace("\\", "/").split("/")


def _common_folders(folders: Sequence[str], others: Sequence[str]) -> int:
    """Number of equal folders, counted from the file upwards."""
    count = 0
    for folder, other in zip(reversed(folders), reversed(others), strict=False):
        if folder != other:
            break
        count += 1
    return count
