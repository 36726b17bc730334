"""The outline a person drew on a film, and the patient's diagnosis.

::

    STORE/outlines/FILM.json    an ``Outline``, written atomically

Every save names the version it is based on. If two tabs or two people change the same film, the
second save fails: nobody's work is silently overwritten.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, AwareDatetime, Field, ValidationError

from gdshare.errors import StaleError, StoreError
from gdshare.films.outlines.polygons import Polygon, rasterise
from gdshare.lock import lock
from gdshare.plain_files import TooLargeError, read_plain
from gdshare.storage import write_json
from gdshare.store.folder import Store
from gdshare.store.record import Frozen, Name, StoredFilm

OUTLINES = "outlines"
LOCK = ".lock"
MAX_POINTS = 20_000
"""Per film; an outline drawn by hand has hundreds."""
MAX_OFF_FILM = 1e6
"""px from the film's corner; what lies off the film is clipped."""
MAX_FILE_BYTES = 4 * 1024**2

Coordinate = Annotated[float, Field(ge=-MAX_OFF_FILM, le=MAX_OFF_FILM, allow_inf_nan=False)]
Ring = Annotated[tuple[tuple[Coordinate, Coordinate], ...], Field(min_length=3)]
Rings = Annotated[tuple[Ring, ...], Field(min_length=1)]
Diagnosis = Literal["negative", "positive"]


def _limit_points(polygons: tuple[Rings, ...]) -> tuple[Rings, ...]:
    count = sum(len(ring) for rings in polygons for ring in rings)
    if count > MAX_POINTS:
        raise ValueError(f"{count:,} points, more than {MAX_POINTS:,}")
    return polygons


Polygons = Annotated[tuple[Rings, ...], AfterValidator(_limit_points)]


class Drawing(Frozen):
    """A person's work on one film.

    Attributes:
        polygons: each a list of rings, first its border, then its holes; a ring is a list of
            vertices (x, y), px from the film's upper left corner, closed implicitly.
        diagnosis: the patient's; null: not chosen yet.
    """

    polygons: Polygons = ()
    diagnosis: Diagnosis | None = None

    def inside(self, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Rasterise the organ: bool [height, width], for a film of ``shape`` (height, width).

        Raises:
            FilmError: the edges cross the film's rows absurdly often.
        """
        polygons = [
            Polygon(tuple(np.array(ring, np.float64) for ring in rings)) for rings in self.polygons
        ]
        return rasterise(polygons, shape)


class Outline(Frozen):
    """A stored drawing.

    Attributes:
        film: the film's name.
        drawing: the person's work.
        version: 0 before the first save; each save increments it.
        saved_at: UTC; null before the first save.
    """

    film: Name
    drawing: Drawing = Drawing()
    version: Annotated[int, Field(ge=0)] = 0
    saved_at: AwareDatetime | None = None


def load_outline(store: Store, film: str) -> Outline:
    """Read a film's outline; an empty drawing of version 0 if there is none yet.

    Raises:
        StoreError: not a film's name, or the outline is damaged.
    """
    path = _path(store, film)
    try:
        outline = Outline.model_validate_json(read_plain(path, MAX_FILE_BYTES))
    except FileNotFoundError:
        return Outline(film=film)
    except TooLargeError as error:
        raise StoreError("too large for an outline", path, "restore its last good copy") from error
    except (OSError, ValidationError) as error:
        raise StoreError(
            "damaged", path, "restore its last good copy, or delete it and outline the film again"
        ) from error
    if outline.film != film:
        raise StoreError(f"is the outline of {outline.film}", path, "restore the right file")
    return outline


def save_outline(
    store: Store, film: StoredFilm, drawing: Drawing, based_on: int, now: datetime
) -> Outline:
    """Save a drawing; it is on disk when this returns.

    Args:
        store: the film's store.
        film: the film's record.
        drawing: replaces the stored drawing.
        based_on: the version that the person changed.
        now: UTC.

    Returns:
        the outline with its new version, or the stored outline if nothing changed.

    Raises:
        StaleError: another version was saved since.
        StoreError: the film is not released, or its outline is damaged.
    """
    if film.state != "released":
        raise StoreError(f"is {film.state} and cannot be outlined", film.film, "see gdshare review")
    with _locked(store):
        before = load_outline(store, film.film)
        if before.version and before.drawing == drawing:
            return before  # a repeated request whose response was lost
        if before.version != based_on:
            raise StaleError(
                f"was changed elsewhere since (version {before.version}, not {based_on})",
                film.film,
                "look at it again",
            )
        after = Outline(film=film.film, drawing=drawing, version=before.version + 1, saved_at=now)
        _write(store, after)
    return after


def add_outline(store: Store, outline: Outline) -> None:
    """Save an outline that comes with a film, unless something was drawn on the film before.

    Raises:
        StoreError: the film's outline is damaged.
    """
    with _locked(store):
        if load_outline(store, outline.film).version == 0:
            _write(store, outline)


@contextmanager
def _locked(store: Store) -> Iterator[None]:
    folder = store.path / OUTLINES
    folder.mkdir(mode=0o700, exist_ok=True)
    with lock(folder / LOCK):
        yield


def _write(store: Store, outline: Outline) -> None:
    write_json(_path(store, outline.film), outline.model_dump(mode="json"))


def _path(store: Store, film: str) -> Path:
    return store.path / OUTLINES / store.record_path(film).name
