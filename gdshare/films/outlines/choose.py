"""Choosing the film's annotation set, and the organ's shapes in it."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from urllib.parse import unquote

from gdshare.errors import FilmError
from gdshare.films.outlines.annotation_set import AnnotationSet, Shape, name_list
from gdshare.films.quote import printable

_SUFFIXES = "png|jpe?g|jpe|jp2|tiff?|bmp|gif|webp|dcm|dicom"
_IMAGE_SUFFIX = re.compile(rf"\.(?:{_SUFFIXES})$", re.IGNORECASE)
"""The tool may have shown the film as a copy in another format. No other suffix is ignored: the
number after the last dot of a DICOM file's name often distinguishes patients."""

_LABEL_STUDIO = re.compile(r"[0-9a-f]{8}-(?=.)")
"""Before the name of an uploaded film."""
_ROBOFLOW = re.compile(rf"(.+)_({_SUFFIXES})\.rf\.[0-9A-Za-z]+\.\w+", re.IGNORECASE)
"""``17.png`` becomes ``17_png.rf.HASH.jpg``."""

_SAY_WHICH = "say which image is the film with gdshare outline --image NAME"

_Spelling = Callable[[str], set[str]]
"""The names that a name may stand for."""


def annotations_for(
    film_name: str, annotation_sets: Sequence[AnnotationSet], image: str | None = None
) -> AnnotationSet:
    """Find a film's annotation set by the film's file name.

    An exact match of the file name comes first, then what a tool made of it: percent-encoded, or
    renamed by Label Studio or Roboflow; then the same without the suffix of the image format. Among
    several matches, the one that shares most folders wins.

    Args:
        film_name: file name or path, with slashes or backslashes.
        annotation_sets: at least one.
        image: the film's name in the file, as it stands there, without its percent-encoding or
            without its folders; None to find it by ``film_name``.

    Raises:
        FilmError: no match, or several equally good ones; the error names no file.
    """
    if image is not None:
        return _named(image, annotation_sets)
    if len(annotation_sets) == 1 and annotation_sets[0].film is None:
        return annotation_sets[0]
    *folders, name = _parts(film_name)
    for of_film, of_file in _SPELLINGS:
        wanted = of_film(name)
        matches = [
            (_common_folders(stated, folders), annotations)
            for annotations in annotation_sets
            for *stated, other in map(_parts, _names(annotations))
            if not wanted.isdisjoint(of_file(other))
        ]
        if matches:
            break
    else:
        raise _not_annotated(f"the film {printable(name)}", annotation_sets)
    closest = max(common for common, _ in matches)
    return _only(
        [annotations for common, annotations in matches if common == closest],
        f"names several films that may be {printable(name)}",
    )


def _named(image: str, annotation_sets: Sequence[AnnotationSet]) -> AnnotationSet:
    wanted = _normal(image)
    spellings: tuple[_Spelling, ...] = (
        lambda name: {_normal(name)},
        lambda name: {_normal(unquote(name))},
        lambda name: _decoded(_parts(name)[-1]),
    )
    for spelling in spellings:
        matches = [
            annotations
            for annotations in annotation_sets
            if any(wanted in spelling(name) for name in _names(annotations))
        ]
        if matches:
            return _only(matches, f"names several images {printable(image)}")
    raise _not_annotated(f"an image {printable(image)}", annotation_sets)


def _only(matches: Sequence[AnnotationSet], ambiguous: str) -> AnnotationSet:
    """The only match; a set may stand there twice, by two of its names."""
    first, *others = matches
    if any(annotations is not first for annotations in others):
        names = name_list([annotations.film or "" for annotations in matches])
        raise FilmError(f"{ambiguous}: {names}", remedy=_SAY_WHICH)
    return first


def _not_annotated(wanted: str, annotation_sets: Sequence[AnnotationSet]) -> FilmError:
    for annotations in annotation_sets:
        if annotations.fault is not None and annotations.film == "":
            return annotations.fault  # of an image without a readable name, which may be the film
    names = [annotations.film for annotations in annotation_sets if annotations.film is not None]
    if not names:
        return FilmError(
            f"has no annotation of {wanted}, since the format names no images",
            remedy="leave out the image's name",
        )
    return FilmError(
        f"has no annotation of {wanted}, only of {name_list(names)}",
        remedy=f"give the annotation file of this film, or {_SAY_WHICH}",
    )


def _names(annotations: AnnotationSet) -> tuple[str, ...]:
    return (annotations.film or "", *annotations.other_names)


def _as_it_is(name: str) -> set[str]:
    return {name}


def _decoded(name: str) -> set[str]:
    """Without percent-encoding; a folder may be encoded too."""
    return {name, _parts(unquote(name))[-1]}


def _original(name: str) -> set[str]:
    """As the film was called before Label Studio or Roboflow renamed it."""
    names = _decoded(name)
    names |= {_LABEL_STUDIO.sub("", other, count=1) for other in names}
    return names | {_ROBOFLOW.sub(r"\1.\2", other) for other in names}


def _uploaded(name: str) -> set[str]:
    """As Label Studio may write it: blanks as underscores, without most other marks."""
    return {name, re.sub(r"[^-\w.]", "", name.replace(" ", "_"))}


def _without_suffix(spelling: _Spelling) -> _Spelling:
    return lambda name: {_IMAGE_SUFFIX.sub("", other) for other in spelling(name)}


_WHOLE: tuple[tuple[_Spelling, _Spelling], ...] = (
    (_as_it_is, _as_it_is),
    (_as_it_is, _decoded),
    (_uploaded, _original),
)
_SPELLINGS = (*_WHOLE, *((_without_suffix(film), _without_suffix(file)) for film, file in _WHOLE))
"""Of the film's name and of the names in the file, from the surest match to the least."""


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
        if shape.fault is not None:
            raise shape.fault
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
