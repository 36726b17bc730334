"""Detecting text on films, and recording what a person decides about them."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gdshare.errors import StaleError, StoreError
from gdshare.films.box import Box
from gdshare.store.blanking import blank
from gdshare.store.folder import Store
from gdshare.store.record import Decision, Review, State, StoredFilm

FindText = Callable[[npt.NDArray[np.uint16]], tuple[Box, ...]]
"""The detector: uint16 [height, width] -> boxes around what looks like text."""


def detect_text(
    store: Store,
    find_text: FindText,
    everything: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Run the text detector on films it has not seen, to help the reviewer.

    It releases nothing. A finding holds a film that no person has released.

    Args:
        store: its records are updated one by one.
        find_text: the detector.
        everything: include films that were released because their header says NO.
        progress: called with (films done, total).
    """
    films = [
        film
        for film in store.films()
        if film.text is None and (film.state == "held" or (everything and film.state == "released"))
    ]
    for number, film in enumerate(films, start=1):
        _detect(store, film.film, find_text)
        progress(number, len(films))


def _detect(store: Store, film: str, find_text: FindText) -> None:
    """Update a film's record, read again under the lock: a person may have decided meanwhile."""
    before = store.record(film)
    if before.state == "rejected":
        return
    text = find_text(np.asarray(store.pixels(before).pixels, np.uint16))
    with store.lock():
        record = store.record(film)
        if record.state != "rejected":
            doubtful = bool(text) and not record.reviews
            state: State = "held" if doubtful else record.state
            store.put(record.model_copy(update={"text": text, "state": state}))


def review_film(
    store: Store,
    film: str,
    decision: Decision,
    by: str,
    now: datetime,
    boxes: Sequence[Box] = (),
    border: int = 0,
    seen: int | None = None,
) -> StoredFilm:
    """Black out boxes and release a film, or reject it and delete its pixels.

    Args:
        store: the film's store.
        film: its name.
        decision: release or reject.
        by: the reviewer.
        now: UTC.
        boxes, border: blacked out before a release; see ``blank``.
        seen: how many reviews the reviewer had seen; None: do not check.

    Returns:
        the new record; the review is its last.

    Raises:
        StaleError: there is a newer review.
        StoreError: there is no such film, or it was rejected before.
        FilmError: its pixels are missing, or a box lies off the film.
    """
    with store.lock():
        record = store.record(film)
        if seen is not None and len(record.reviews) != seen:
            raise StaleError("was reviewed by somebody else since", film, "look at it again")
        if record.state == "rejected":
            raise StoreError("was rejected, its pixels deleted", film, "import it into a new store")
        review = Review(at=now, by=by, decision=decision)
        if decision == "reject":
            return _reject(store, record, review)
        return _release(store, record, review, boxes, border)


def _reject(store: Store, record: StoredFilm, review: Review) -> StoredFilm:
    rejected = _with_review(record, "rejected", review)
    # Pixels first: a kill in between must not leave a rejected film with its pixels.
    store.delete_pixels(record.film)
    store.put(rejected)
    return rejected


def _release(
    store: Store, record: StoredFilm, review: Review, boxes: Sequence[Box], border: int
) -> StoredFilm:
    film = store.pixels(record)
    pixels, areas = blank(np.asarray(film.pixels, np.uint16), boxes, border, Path(film.name))
    released = _with_review(record, "released", review.model_copy(update={"blanked": areas}))
    store.put(released, pixels if areas else None)
    return released


def _with_review(record: StoredFilm, state: State, review: Review) -> StoredFilm:
    return record.model_copy(update={"state": state, "reviews": (*record.reviews, review)})
