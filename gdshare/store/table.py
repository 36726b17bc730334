"""Outlined films as the table that ``gdshare label`` reads.

::

    STORE/labels.csv        patient,image,mask,diagnosis,spacing_mm; a line a film
    STORE/masks/FILM.png    white inside the organ

Both are made anew from the outlines whenever they are asked for; nothing is read back from them.
"""

import csv
import io
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from gdshare.errors import StoreError
from gdshare.films.bounds import SQUARE
from gdshare.films.outlines import write_outline
from gdshare.storage import write_bytes
from gdshare.store.folder import Store
from gdshare.store.outline import Diagnosis, Drawing, outline_of
from gdshare.store.record import StoredFilm

TABLE, MASKS = "labels.csv", "masks"
COLUMNS = ("patient", "image", "mask", "diagnosis", "spacing_mm")


@dataclass(frozen=True)
class Outlined:
    """A film that is ready to be labelled."""

    film: StoredFilm
    drawing: Drawing
    diagnosis: Diagnosis


def outlined_films(store: Store) -> list[Outlined]:
    """All released films with both an outline and a diagnosis, in the order of their names.

    Raises:
        StoreError: a file is damaged, or a patient has two diagnoses.
    """
    found: list[Outlined] = []
    told: dict[str, Outlined] = {}
    for film in store.films():
        drawing = outline_of(store, film.film).drawing
        if film.state != "released" or not drawing.polygons or drawing.diagnosis is None:
            continue
        one = Outlined(film, drawing, drawing.diagnosis)
        first = told.setdefault(film.patient, one)
        if first.diagnosis != one.diagnosis:
            raise StoreError(
                f"{first.film.film} and {film.film} are of one patient but "
                f"{first.diagnosis} and {one.diagnosis}",
                store.path,
                "the diagnosis is the patient's, so choose the same for both with "
                "gdshare label --serve",
            )
        found.append(one)
    return found


def write_table(
    store: Store, progress: Callable[[int, int], None] = lambda done, total: None
) -> Path:
    """Write the table and a mask for each line.

    Args:
        store: that holds the films.
        progress: called with (films done, films in all).

    Returns:
        the table's path.

    Raises:
        StoreError: see ``outlined_films``; or no film is ready.
        FilmError: an outline's edges cross the film's rows absurdly often.
    """
    ready = outlined_films(store)
    if not ready:
        raise StoreError(
            "no film has both an outline and a diagnosis",
            store.path,
            f"draw and choose them with gdshare label --serve {quote(str(store.path))}",
        )
    (store.path / MASKS).mkdir(mode=0o700, exist_ok=True)
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for number, one in enumerate(ready, start=1):
        film, mask = one.film, store.path / MASKS / f"{one.film.film}.png"
        write_outline(one.drawing.inside((film.rows, film.columns)), mask)
        image = store.pixels_path(film.film)
        cells = (path.relative_to(store.path) for path in (image, mask))
        lines.writerow([film.patient, *cells, one.diagnosis, _side(film)])
        progress(number, len(ready))
    write_bytes(store.path / TABLE, text.getvalue().encode(), 0o600)
    return store.path / TABLE


def left_out(store: Store) -> str:
    """Which films the table lacks, in words; empty where it has them all.

    Raises:
        StoreError: a record or an outline is damaged.
    """
    counts: Counter[str] = Counter()
    for film in store.films():
        drawing = outline_of(store, film.film).drawing
        if film.state == "held":
            outlined = ", though outlined" if drawing.polygons else ""
            counts[f"held for a review{outlined}"] += 1
        elif film.state == "released" and not drawing.polygons:
            counts["without an outline"] += 1
        elif film.state == "released" and drawing.diagnosis is None:
            counts["without a diagnosis"] += 1
    return "; ".join(f"{count} {why}" for why, count in sorted(counts.items()))


def _side(film: StoredFilm) -> str:
    """The side of a pixel as a table tells it; empty where it has none, or two."""
    if film.spacing_mm is None:
        return ""
    down, across = film.spacing_mm
    return repr((down + across) / 2) if 1 / SQUARE <= down / across <= SQUARE else ""
