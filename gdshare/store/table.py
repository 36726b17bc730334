"""The table of outlined films that ``gdshare label`` reads.

::

    STORE/labels.csv        patient,image,mask,diagnosis,spacing_mm; one line per film
    STORE/masks/FILM.png    white inside the organ

Both are derived from the outlines every time and never read back.
"""

import csv
import io
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from gdshare.errors import StoreError
from gdshare.films.bounds import is_square
from gdshare.films.outlines import write_outline
from gdshare.storage import write_bytes
from gdshare.store.folder import Store
from gdshare.store.outline import Diagnosis, Drawing, load_outline
from gdshare.store.record import StoredFilm

TABLE, MASKS = "labels.csv", "masks"
COLUMNS = ("patient", "image", "mask", "diagnosis", "spacing_mm")


@dataclass(frozen=True)
class OutlinedFilm:
    """A film ready to be labelled."""

    film: StoredFilm
    drawing: Drawing
    diagnosis: Diagnosis


def outlined_films(store: Store) -> list[OutlinedFilm]:
    """All released films with both an outline and a diagnosis, sorted by name.

    Raises:
        StoreError: a file is damaged, or a patient has two diagnoses.
    """
    outlined: list[OutlinedFilm] = []
    first_of: dict[str, OutlinedFilm] = {}  # by patient
    for film in store.films():
        drawing = load_outline(store, film.film).drawing
        if film.state != "released" or not drawing.polygons or drawing.diagnosis is None:
            continue
        outlined.append(OutlinedFilm(film, drawing, drawing.diagnosis))
        first = first_of.setdefault(film.patient, outlined[-1])
        if first.diagnosis != drawing.diagnosis:
            raise StoreError(
                f"{first.film.film} and {film.film} are of the same patient but "
                f"{first.diagnosis} and {drawing.diagnosis}",
                store.path,
                "choose the same diagnosis for both with gdshare label --serve",
            )
    return outlined


def write_table(
    store: Store, progress: Callable[[int, int], None] = lambda done, total: None
) -> Path:
    """Write the table and a mask for each line.

    Args:
        store: the films' store.
        progress: called with (films done, total).

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
            f"add them with gdshare label --serve {quote(str(store.path))}",
        )
    (store.path / MASKS).mkdir(mode=0o700, exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, outlined in enumerate(ready, start=1):
        film = outlined.film
        image, mask = store.pixels_path(film.film), store.path / MASKS / f"{film.film}.png"
        write_outline(outlined.drawing.inside((film.rows, film.columns)), mask)
        paths = (path.relative_to(store.path) for path in (image, mask))
        writer.writerow([film.patient, *paths, outlined.diagnosis, _side(film)])
        progress(number, len(ready))
    write_bytes(store.path / TABLE, text.getvalue().encode(), 0o600)
    return store.path / TABLE


def omissions(store: Store) -> str:
    """How many films the table omits and why, in words; empty if it has them all.

    Raises:
        StoreError: a record or an outline is damaged.
    """
    counts: Counter[str] = Counter()
    for film in store.films():
        drawing = load_outline(store, film.film).drawing
        if film.state == "held":
            outlined = ", though outlined" if drawing.polygons else ""
            counts[f"held for review{outlined}"] += 1
        elif film.state == "released" and not drawing.polygons:
            counts["without an outline"] += 1
        elif film.state == "released" and drawing.diagnosis is None:
            counts["without a diagnosis"] += 1
    return "; ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))


def _side(film: StoredFilm) -> str:
    """The pixel size for the table, mm; empty if unknown, or if the pixels are not square."""
    if film.spacing_mm is None:
        return ""
    down, across = film.spacing_mm
    return repr((down + across) / 2) if is_square(film.spacing_mm) else ""
