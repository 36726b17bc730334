"""What the page paints over a film: each window's label, by the functions of ``gdshare label``."""

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

MAX_SHOWN = 250_000
"""Windows of one film that are painted; beyond it only their counts are told."""
UNDECIDED, DROPPED = "?", "-"

_LETTERS = np.full(256, DROPPED, dtype="<U1")
_LETTERS[[*PatchClass]] = [member.name for member in PatchClass]


@dataclass(frozen=True)
class Counts:
    """Windows by what becomes of them.

    Attributes:
        i, n, p, discarded: as ``gdshare label`` counts them.
        undecided: inside the organ, while nobody has chosen a diagnosis.
    """

    i: int = 0
    n: int = 0
    p: int = 0
    discarded: int = 0
    undecided: int = 0


@dataclass(frozen=True)
class Painting:
    """The grid of one film.

    Attributes:
        rows, columns: how many windows down and across.
        patch, stride: of a window on this film, px.
        letters: a string a row, a letter a window: I, N, P, ``UNDECIDED`` or ``DROPPED``; empty
            without an outline, or above ``MAX_SHOWN``.
        counts: all zero without an outline.
        problem: why ``gdshare label`` would refuse this film, or what is not shown; else empty.
    """

    rows: int = 0
    columns: int = 0
    patch: int = 0
    stride: int = 0
    letters: tuple[str, ...] = ()
    counts: Counts = Counts()
    problem: str = ""


@lru_cache(maxsize=8)
def paint(film: StoredFilm, drawing: Drawing, protocol: Protocol) -> Painting:
    """Label each window of a film by its outline and diagnosis; faults are told, not raised."""
    try:
        return _paint(film, drawing, protocol)
    except FilmError as error:
        return Painting(problem=str(error))


@lru_cache(maxsize=1 << 16)
def count(film: StoredFilm, drawing: Drawing, protocol: Protocol) -> Counts:
    """Only the counts of ``paint``; remembered, so that a sum over all films takes no time."""
    return paint(film, drawing, protocol).counts


def _paint(film: StoredFilm, drawing: Drawing, protocol: Protocol) -> Painting:
    grid = Grid.on(_blank(film), protocol)
    shape = grid.rows, grid.columns, grid.patch, grid.stride
    if not drawing.polygons:
        return Painting(*shape)
    inside = drawing.inside((film.rows, film.columns))
    if not inside.any():
        return Painting(*shape, problem="the outline encloses no pixel of the film; draw it again")
    letters = _letters(inside_fractions(inside, grid), drawing, protocol)
    counts = _counts(letters)
    if grid.count > MAX_SHOWN:
        told = f"{grid.count:,} windows are too many to paint; their counts hold"
        return Painting(*shape, counts=counts, problem=told)
    return Painting(*shape, tuple("".join(row) for row in letters), counts)


def _blank(film: StoredFilm) -> Film:
    """A film of this size without its pixels: geometry asks for none of them."""
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


def _counts(letters: npt.NDArray[np.str_]) -> Counts:
    found = Counter(dict(zip(*np.unique(letters, return_counts=True), strict=True)))
    kinds = (*(member.name for member in PatchClass), DROPPED, UNDECIDED)
    return Counts(*(int(found[kind]) for kind in kinds))
