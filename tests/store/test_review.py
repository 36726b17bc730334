from datetime import UTC, datetime

import numpy as np
import pytest
from dicom_kit import gradient, radiograph, save

from gdshare.errors import FilmError, StaleError, StoreError
from gdshare.films.box import Box
from gdshare.store import Identities, Intake, look, make_store, review_film, take_in
from gdshare.store.folder import Store

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


@pytest.fixture
def store(tmp_path):
    """A store of one film, held."""
    path = save(radiograph(gradient()), tmp_path / "film.dcm")
    names = iter("abc")
    identities = Identities(tmp_path / "who.csv", lambda: next(names) * 16)
    told = Intake(make_store(tmp_path / "store"), identities, lambda frame: None)
    assert [outcome.kind for outcome in take_in([path], told)] == ["held"]
    return told.store


def test_release_is_recorded_with_who_and_when(store):
    (name,) = store.names()
    review_film(store, name, "release", "A. Reader", NOW)
    film = store.record(name)
    assert film.state == "released"
    assert [(one.at, one.by, one.decision) for one in film.reviews] == [
        (NOW, "A. Reader", "release")
    ]


def test_release_after_blanking_changes_the_pixels_for_good(store):
    (name,) = store.names()
    review_film(store, name, "release", "A. Reader", NOW, [Box(0, 0, 10, 5)])
    film = store.record(name)
    assert film.reviews[-1].blanked == (Box(0, 0, 10, 5),)
    pixels = store.pixels(film).pixels
    assert not pixels[:5, :10].any()
    np.testing.assert_array_equal(pixels[5:], np.rint(gradient() / 4095 * 65535)[5:])


def test_rejected_film_loses_its_pixels_and_stays_rejected(store):
    (name,) = store.names()
    review_film(store, name, "reject", "A. Reader", NOW)
    assert not store.pixels_path(name).exists()
    with pytest.raises(StoreError, match="rejected"):
        review_film(store, name, "release", "A. Reader", NOW)


def test_second_thought_is_added_not_written_over(store):
    (name,) = store.names()
    review_film(store, name, "release", "A. Reader", NOW)
    review_film(store, name, "reject", "B. Doubter", NOW)
    assert [one.by for one in store.record(name).reviews] == ["A. Reader", "B. Doubter"]


def test_decision_by_one_who_has_not_seen_the_last_is_refused(store):
    (name,) = store.names()
    review_film(store, name, "release", "A. Reader", NOW, seen=0)
    with pytest.raises(StaleError, match="somebody else has decided about it since"):
        review_film(store, name, "reject", "B. Doubter", NOW, seen=0)
    assert store.record(name).state == "released"
    assert review_film(store, name, "reject", "B. Doubter", NOW, seen=1).state == "rejected"


def test_box_off_the_film_changes_nothing(store):
    (name,) = store.names()
    with pytest.raises(FilmError, match="lies off the film"):
        review_film(store, name, "release", "A. Reader", NOW, [Box(500, 500, 600, 600)])
    assert store.record(name).state == "held"


def test_boxes_that_leave_nothing_are_refused(store):
    (name,) = store.names()
    with pytest.raises(FilmError, match="nothing of it is left"):
        review_film(store, name, "release", "A. Reader", NOW, [Box(0, 0, 40, 48)])


def test_border_that_leaves_nothing_is_refused(store):
    (name,) = store.names()
    with pytest.raises(FilmError, match="border of 20 px leaves nothing"):
        review_film(store, name, "release", "A. Reader", NOW, border=20)


def test_film_that_is_not_there_is_named(store):
    with pytest.raises(StoreError, match="holds no film f-zzzzzzzzzzzzzzzz"):
        review_film(store, "f-" + "z" * 16, "release", "A. Reader", NOW)


def test_looking_notes_where_writing_is_and_looks_once(store):
    seen = []

    def find_text(pixels):
        seen.append(pixels)
        return (Box(1, 2, 9, 5),)

    look(store, find_text)
    look(store, find_text)
    (film,) = store.films()
    assert len(seen) == 1
    assert (film.text, film.state) == ((Box(1, 2, 9, 5),), "held")
    assert "something like writing in 1 place" in film.reasons


def test_silence_of_the_detector_releases_nothing(store):
    look(store, lambda pixels: ())
    assert next(store.films()).state == "held"


def test_released_film_that_nobody_reviewed_is_held_once_writing_is_seen(store):
    (name,) = store.names()
    record = store.record(name)
    store.put(record.model_copy(update={"burned_in": "NO", "state": "released"}))
    look(store, lambda pixels: (Box(1, 2, 9, 5),))
    assert store.record(name).state == "released"
    look(store, lambda pixels: (Box(1, 2, 9, 5),), everything=True)
    assert store.record(name).state == "held"


def test_film_that_a_person_released_stays_so_whatever_the_detector_says(store):
    (name,) = store.names()
    review_film(store, name, "release", "A. Reader", NOW)
    look(store, lambda pixels: (Box(1, 2, 9, 5),), everything=True)
    assert store.record(name).state == "released"


def test_rejected_film_does_not_come_back_with_the_next_import(store, tmp_path):
    (name,) = store.names()
    review_film(store, name, "reject", "A. Reader", NOW)
    identities = Identities(tmp_path / "who.csv", lambda: "z" * 16)
    told = Intake(store, identities, lambda frame: None)
    (outcome,) = take_in([tmp_path / "film.dcm"], told)
    assert (outcome.kind, outcome.film) == ("known", name)
    assert store.record(name).state == "rejected"
    assert not store.pixels_path(name).exists()


def test_decision_made_while_the_detector_looks_is_kept(store):
    (name,) = store.names()

    def find_text(pixels):
        review_film(store, name, "release", "A. Reader", NOW, [Box(0, 0, 5, 5)])
        return (Box(1, 2, 9, 5),)

    look(store, find_text)
    film = store.record(name)
    assert (film.state, film.reviews[-1].by, film.text) == (
        "released",
        "A. Reader",
        (Box(1, 2, 9, 5),),
    )


def test_film_rejected_while_the_detector_looks_stays_rejected(store):
    (name,) = store.names()
    look(store, lambda pixels: review_film(store, name, "reject", "A. Reader", NOW) and ())
    assert store.record(name).state == "rejected"


def test_rejection_that_a_kill_cut_short_has_deleted_the_pixels_and_is_made_again(
    store, monkeypatch
):
    (name,) = store.names()
    with monkeypatch.context() as patched:
        patched.setattr(Store, "put", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            review_film(store, name, "reject", "A. Reader", NOW)
    assert not store.pixels_path(name).exists()
    assert store.record(name).state == "held"
    assert review_film(store, name, "reject", "A. Reader", NOW).state == "rejected"
