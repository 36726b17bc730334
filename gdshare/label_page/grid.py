"""The labels of a film's windows, computed by the functions of ``gdshare label``."""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gdshare.errors import FilmError
from gdshare.films import Film
from gdshare.labels import DISCARDED, label_windows
from gdshare.patches import Grid, inside_fractions
from gdshare.protocol import PatchClass, Protocol
from gdshare.store.outline import Drawing
from gdshare.store.record import StoredFilm

MAX_LETTERS = 250_000
"""Windows of a film that are sent to the page; of more, only the counts."""
UNDECIDED, DISCARDED_LETTER = "?", "-"

_LETTERS = np.full(256, DISCARDED_LETTER, dtype="<U1")
_LETTERS[[*PatchClass]] = [member.name for member in PatchClass]


@dataclass(frozen=True)
class WindowCounts:
    """Numbers of windows.

    Attributes:
        i, n, p, discarded: as counted by ``gdshare label``.
        undecided: inside the organ of a film without a diagnosis.
    """

    i: int = 0
    n: int = 0
    p: int = 0
    discarded: int = 0
    undecided: int = 0


@dataclass(frozen=True)
class WindowLabels:
    """The labelled windows of one film.

    Attributes:
        rows, columns: number of windows.
        patch, stride: px on this film.
        letters: one string per row, one letter per window: I, N, P, ``UNDECIDED`` or
            ``DISCARDED_LETTER``; empty without an outline, or above ``MAX_LETTERS``.
        counts: all zero without an outline.
        problem: why ``gdshare label`` would refuse this film, or what is not shown; else empty.
    """

    rows: int = 0
    columns: int = 0
    patch: int = 0
    stride: int = 0
    letters: tuple[str, ...] = ()
    counts: WindowCounts = WindowCounts()
    problem: str = ""


@lru_cache(maxsize=8)
def film_labels(film: StoredFilm, drawing: Drawing, protocol: Protocol) -> WindowLabels:
    """Label a film's windows by its outline and diagnosis; a ``FilmError`` becomes ``problem``."""
    try:
        return _film_labels(film, drawing, protocol)
    except FilmError as error:
        return WindowLabels(problem=str(error))


@lru_cache(maxsize=1 << 16)
def window_counts(film: StoredFilm, drawing: Drawing, protocol: Protocol) -> WindowCounts:
    """The counts of ``film_labels``, cached for all films so that totals are instant."""
    return film_labels(film, drawing, protocol).counts


def _film_labels(film: StoredFilm, drawing: Drawing, protocol: Protocol) -> WindowLabels:
    grid = Grid.on(blank_film(film), protocol)
    shape = grid.rows, grid.columns, grid.patch, grid.stride
    if not drawing.polygons:
        return WindowLabels(*shape)
    inside = drawing.inside((film.rows, film.columns))
    if not inside.any():
        problem = "the outline encloses no pixel of the film; draw it again"
        return WindowLabels(*shape, problem=problem)
    letters = _letters(inside_fractions(inside, grid), drawing, protocol)
    counts = _counts(letters)
    if grid.count > MAX_LETTERS:
        problem = f"{grid.count:,} windows are too many to show; the counts are complete"
        return WindowLabels(*shape, counts=counts, problem=problem)
    return WindowLabels(*shape, tuple("".join(row) for row in letters), counts)


def blank_film(film: StoredFilm) -> Film:
    """A film of this size without pixels, which the grid does not need."""
    pixels = np.broadcast_to(np.zeros((), np.uint8), (film.rows, film.columns))
    return Film(pixels, film.film, film.spacing_mm)


def _letters(
    fractions: npt.NDArray[np.float64], drawing: Drawing, protocol: Protocol
) -> npt.NDArray[np.str_]:
    labels = label_windows(fractions, drawing.diagnosis == "positive", protocol)
    letters = _LETTERS[labels]
    if drawing.diagnosis is None:
        letters[(labels != PatchClass.I) & (labels != DISCARDED)] = UNDECIDED
    return letters


def _counts(letters: npt.NDArray[np.str_]) -> WindowCounts:
    counter = Counter(dict(zip(*np.unique(letters, return_counts=True), strict=True)))
    kinds = (*(member.name for member in PatchClass), DISCARDED_LETTER, UNDECIDED)
    return WindowCounts(*(int(counter[kind]) for kind in kinds))
