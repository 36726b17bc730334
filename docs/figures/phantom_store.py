"""A store of synthetic films with readable names, to show, time and test the outlining page."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gdshare.films.phantom import phantom_film
from gdshare.store.folder import Store, make_store
from gdshare.store.record import StoredFilm


def phantom_record(number: int, side: int) -> StoredFilm:
    """A released film of ``side`` px, of a patient of its own."""
    name = chr(ord("a") + number) * 16
    return StoredFilm(
        film=f"f-{name}",
        patient=f"p-{name}",
        study=f"s-{name}",
        kind="CR",
        rows=side,
        columns=side,
        spacing_mm=(0.15, 0.15),
        burned_in="NO",
        text=(),
        blanked=(),
        state="released",
    )


def phantom_store(folder: Path, films: Sequence[StoredFilm]) -> Store:
    """A store of synthetic films; every second patient is positive."""
    store = make_store(folder)
    for number, film in enumerate(films):
        pixels, _ = phantom_film(number, number % 2 == 1, 0, film.rows)
        store.put(film, pixels.astype(np.uint16) * np.uint16(257))
    return store
