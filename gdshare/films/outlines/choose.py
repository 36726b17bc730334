"""Which sheet is the film's, and which of its shapes are the organ's."""

import re
import unicodedata
from collections.abc import Sequence

from gdshare.errors import FilmError
from gdshare.films.outlines.annotation_set import AnnotationSet, Shape, listed, quoted

_IMAGE = re.compile(r"\.(?:png|jpe?g|jpe|jp2|tiff?|bmp|gif|webp|dcm|dicom)$", re.IGNORECASE)
"""A film may have been shown to the tool as a copy in another format. Only these count as
suffixes: what follows the last dot of a DICOM file's name is often a number that tells patients
apart."""


def sheet_of(sheets: Sequence[AnnotationSet], film_name: str) -> AnnotationSet:
    """Find the sheet of a film by its file name.

    A sheet of the same file name is the film's; failing that, one of the same name but for the
    image format's suffix. Among several, the one that also shares most of its folders.

    Args:
        sheets: at least one.
        film_name: file name or path, in the manner of any system.

    Raises:
        FilmError: none, or several alike; the message does not name the file.
    """
    if len(sheets) == 1 and sheets[0].film is None:
        return sheets[0]
    *folders, name = _parts(film_name)
    named = [(_parts(annotations.film or ""), annotations) for annotations in sheets]
    found = [(parts, annotations) for parts, annotations in named if parts[-1] == name]
    if not found:
        stem = _IMAGE.sub("", name)
        found = [
            (parts, annotations)
            for parts, annotations in named
            if _IMAGE.sub("", parts[-1]) == stem
        ]
    if not found:
        raise FilmError(
            f"says nothing of the film {quoted(name)}, only of "
            f"{listed([annotations.film or '' for annotations in sheets])}",
            remedy="give the file that was drawn on it",
        )
    closeness = [_shared(parts[:-1], folders) for parts, _ in found]
    nearest = [
        annotations
        for (_, annotations), own in zip(found, closeness, strict=True)
        if own == max(closeness)
    ]
    if len(nearest) > 1:
        raise FilmError(
            f"names several films that may be {quoted(name)}: "
            f"{listed([annotations.film or '' for annotations in nearest])}",
            remedy="give each film its own file name",
        )
    return nearest[0]


def shapes_of(
    sheets: Sequence[AnnotationSet], annotations: AnnotationSet, organ: str | None
) -> tuple[str, tuple[Shape, ...]]:
    """Find the organ's shapes on a sheet.

    Args:
        sheets: all of the file: without ``organ`` it may hold one name only, on whatever film, so
            that no film's outline is of another organ than the last one's.
        annotations: the film's.
        organ: the label to look for; None: there is only one.

    Returns:
        the label, empty without any, and all shapes that have it.

    Raises:
        FilmError: several labels and no ``organ``, no such label on this film, or a shape that
            encloses nothing; the message does not name the file.
    """
    if organ is None:
        names = _names(sheets)
        if len(names) > 1:
            raise FilmError(
                f"holds several names: {listed(names)}",
                remedy="say which is the organ with --organ NAME",
            )
        organ = names[0] if names else ""
    elif _plain(organ) not in map(_plain, _names([annotations])):
        there = listed(_names([annotations])) or "nothing"
        raise FilmError(
            f"has nothing named {quoted(organ)} on this film, but {there}",
            remedy="check --organ, or outline the organ",
        )
    chosen = tuple(one for one in annotations.shapes if _plain(one.label) == _plain(organ))
    for one in chosen:
        if not one.areas:
            raise FilmError(
                f"marks {quoted(organ)} by a {one.kind}, which encloses nothing",
                remedy="outline the organ with polygons",
            )
    return organ, chosen


def _names(sheets: Sequence[AnnotationSet]) -> list[str]:
    """List the labels in their order, each once."""
    return list(dict.fromkeys(one.label for annotations in sheets for one in annotations.shapes))


def _plain(name: str) -> str:
    """Spell a name in one way: systems differ in how they compose accents and kana."""
    return unicodedata.normalize("NFC", name)


def _parts(path: str) -> list[str]:
    """Split a path of any system into folders and file name; at least [""]."""
    return _plain(path).replace("\\", "/").split("/")


def _shared(folders: Sequence[str], others: Sequence[str]) -> int:
    """Count how many folders are the same, from the file upwards."""
    count = 0
    for one, other in zip(reversed(folders), reversed(others), strict=False):
        if one != other:
            break
        count += 1
    return count
