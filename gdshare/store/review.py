"""Looking for writing on films, and what a person decides about them, recorded with each."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gdshare.errors import StaleError, StoreError
from gdshare.films.box import Box
from gdshare.store.blanking import blanked
from gdshare.store.folder import Store
from gdshare.store.record import Decision, Review, State, StoredFilm

FindText = Callable[[npt.NDArray[np.uint16]], tuple[Box, ...]]
"""The detector: boxes around what looks like writing."""


def look(
    store: Store,
    find_text: FindText,
    everything: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Let the detector look at films it has not seen, to help the person who will.

    It releases nothing. What it finds holds a film that no person has released.

    Args:
        store: whose records are written, one as it is done.
        find_text: the detector.
        everything: also look at films that are released because their header says that nothing is
            written in them.
        progress: called with (films done, films to do).
    """
    unseen = [
        film
        for film in store.films()
        if film.text is None and (film.state == "held" or (everything and film.state == "released"))
    ]
    for number, film in enumerate(unseen, start=1):
        _note(store, film.film, find_text)
        progress(number, len(unseen))


def _note(store: Store, film: str, find_text: FindText) -> None:
    """Add what the detector sees to a film's record as it is by then: a person may have decided."""
    before = store.record(film)
    if before.state == "rejected":
        return
    found = find_text(np.asarray(store.pixels(before).pixels, np.uint16))
    with store.changing():
        record = store.record(film)
        if record.state != "rejected":
            doubtful = bool(found) and not record.reviews
            state: State = "held" if doubtful else record.state
            store.put(record.model_copy(update={"text": found, "state": state}))


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
    """Release a film, after blanking what must not be seen, or reject it and delete its pixels.

    Args:
        store: that holds it.
        film: its name.
        decision: of the person.
        by: who that is.
        now: UTC.
        boxes, border: made black before a release; see ``blanked``.
        seen: how many reviews the person knew of; None: whatever others decided, this comes last.

    Returns:
        the film's new record, the review being its last.

    Raises:
        StaleError: somebody has decided since.
        StoreError: no such film, or it was rejected before.
        FilmError: its pixels are gone, or a box does not fit.
    """
    with store.changing():
        decided = len(store.record(film).reviews)
        if seen is not None and decided != seen:
            raise StaleError("somebody else has decided about it since", film, "look at it again")
        return _reviewed_film(store, film, Review(at=now, by=by, decision=decision), boxes, border)


def _reviewed_film(
    store: Store, film: str, review: Review, boxes: Sequence[Box], border: int
) -> StoredFilm:
    record = store.record(film)
    if record.state == "rejected":
        raise StoreError("was rejected and its pixels deleted", film, "import it into a new store")
    if review.decision == "reject":
        rejected = _reviewed(record, "rejected", review)
        store.drop_pixels(
            film
        )  # first: a kill leaves a film without pixels, never a lie about them
        store.put(rejected)
        return rejected
    shown = store.pixels(record)
    pixels, done = blanked(np.asarray(shown.pixels, np.uint16), boxes, border, Path(shown.name))
    released = _reviewed(record, "released", review.model_copy(update={"blanked": done}))
    store.put(released, pixels if done else None)
    return released


def _reviewed(record: StoredFilm, state: State, review: Review) -> StoredFilm:
    return record.model_copy(update={"state": state, "reviews": (*record.reviews, review)})
