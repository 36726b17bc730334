"""The outline that a person drew on a film, and that person's diagnosis.

::

    STORE/outlines/FILM.json    an ``Outline``; written whole or not at all

Every save names the version it is based on. Of two tabs, or two people, who change one film, the
second to save is told so; nobody's work is overwritten unseen.
"""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, AwareDatetime, Field, ValidationError

from gdshare.errors import StaleError, StoreError
from gdshare.films.outlines.polygons import Polygon, rasterise
from gdshare.lock import lock
from gdshare.storage import write_json
from gdshare.store.folder import Store
from gdshare.store.record import Frozen, Name, StoredFilm

OUTLINES = "outlines"
LOCK = ".lock"
MAX_POINTS = 20_000
"""Of one film: a hand draws hundreds."""
MAX_OFF_FILM = 1e6
"""px from the film's corner; what lies beyond the film is cut off."""
MAX_FILE_BYTES = 4 * 1024**2

Coordinate = Annotated[float, Field(ge=-MAX_OFF_FILM, le=MAX_OFF_FILM, allow_inf_nan=False)]
Ring = Annotated[tuple[tuple[Coordinate, Coordinate], ...], Field(min_length=3)]
Rings = Annotated[tuple[Ring, ...], Field(min_length=1)]
Diagnosis = Literal["negative", "positive"]


def _few_points(polygons: tuple[Rings, ...]) -> tuple[Rings, ...]:
    count = sum(len(ring) for rings in polygons for ring in rings)
    if count > MAX_POINTS:
        raise ValueError(f"{count:,} points; {MAX_POINTS:,} at most")
    return polygons


Polygons = Annotated[tuple[Rings, ...], AfterValidator(_few_points)]


class Drawing(Frozen):
    """What a person decides about one film.

    Attributes:
        polygons: each a list of rings, its border first and then its holes; of each vertex x and
            y, px from the film's upper left corner. The last vertex is joined to the first.
        diagnosis: of the patient; null: not chosen yet.
    """

    polygons: Polygons = ()
    diagnosis: Diagnosis | None = None

    def inside(self, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """The organ's pixels on a film of ``shape`` (height, width).

        Raises:
            FilmError: edges that cross the film's rows absurdly often.
        """
        rings = ([np.array(ring, np.float64) for ring in rings] for rings in self.polygons)
        return rasterise([Polygon(tuple(each)) for each in rings], shape)


class Outline(Frozen):
    """A film's drawing as it is stored.

    Attributes:
        film: its name.
        drawing: the person's work.
        version: 0 before the first save, one more with each.
        saved_at: UTC; null before the first save.
    """

    film: Name
    drawing: Drawing = Drawing()
    version: Annotated[int, Field(ge=0)] = 0
    saved_at: AwareDatetime | None = None


def outline_of(store: Store, film: str) -> Outline:
    """What was drawn on a film; an empty drawing of version 0 where nothing was yet.

    Raises:
        StoreError: not a film's name, or its outline is damaged.
    """
    path = _path(store, film)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise StoreError("too large for an outline", path, "put its last good copy back")
        found = Outline.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Outline(film=film)
    except (OSError, ValidationError) as error:
        raise StoreError(
            "damaged", path, "put its last good copy back, or delete it and outline the film again"
        ) from error
    if found.film != film:
        raise StoreError(f"is the outline of {found.film}", path, "put the right file back")
    return found


def save_outline(
    store: Store, film: StoredFilm, drawing: Drawing, based_on: int, now: datetime
) -> Outline:
    """Save a drawing, on the disk when this returns.

    Args:
        store: that holds the film.
        film: its record.
        drawing: replaces the one before.
        based_on: the version that the person saw.
        now: UTC.

    Returns:
        the outline with its new version; the one that is there when nothing changes.

    Raises:
        StaleError: somebody saved another version since.
        StoreError: the film is not released, or its outline is damaged.
    """
    if film.state != "released":
        raise StoreError(f"is {film.state}, so it is not outlined", film.film, "see gdshare review")
    path = _path(store, film.film)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with lock(path.parent / LOCK):
        before = outline_of(store, film.film)
        if before.version and before.drawing == drawing:
            return before  # an answer that was lost on its way is asked for again
        if before.version != based_on:
            raise StaleError(
                f"was changed elsewhere since (version {before.version}, not {based_on})",
                film.film,
                "look at it again",
            )
        after = Outline(film=film.film, drawing=drawing, version=before.version + 1, saved_at=now)
        write_json(path, after.model_dump(mode="json"))
    return after


def _path(store: Store, film: str) -> Path:
    return store.path / OUTLINES / store.record_path(film).name
