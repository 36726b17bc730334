"""Stores like those of ``gdshare import``, without the import."""

from pathlib import Path

import numpy as np

from gdshare.store.folder import Store, make_store
from gdshare.store.record import StoredFilm

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def stored(number: int, side: int = 64, **changes: object) -> StoredFilm:
    """A released film; every number is another patient."""
    letter = LETTERS[number] * 16
    fields: dict[str, object] = {
        "film": f"f-{letter}",
        "patient": f"p-{letter}",
        "study": f"s-{letter}",
        "kind": "CR",
        "rows": side,
        "columns": side,
        "spacing_mm": (0.15, 0.15),
        "burned_in": "NO",
        "text": (),
        "blanked": (),
        "state": "released",
    }
    return StoredFilm(**(fields | changes))


def small_store(folder: Path, *films: StoredFilm) -> Store:
    """A store of noise films."""
    store = make_store(folder)
    for number, film in enumerate(films or (stored(0),)):
        draw = np.random.default_rng(number)
        pixels = draw.integers(0, 65536, (film.rows, film.columns), dtype=np.uint16)
        store.put(film, pixels)
    return store


def square(left: float, top: float, right: float, bottom: float) -> tuple:
    """A rectangular ring."""
    return ((left, top), (right, top), (right, bottom), (left, bottom))
