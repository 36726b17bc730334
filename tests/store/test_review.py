from datetime import UTC, datetime

import numpy as np
import pytest
from dicom_kit import gradient, radiograph, save

from gdshare.errors import FilmError, StaleError, StoreError
from gdshare.films.box import Box
from gdshare.store import Identities, Intake, detect_text, import_films, make_store, review_film
from gdshare.store.folder import Store

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


@pytest.fixture
def store(tmp_path):
    """A store with a single film, held."""
    path = save(radiograph(gradient()), tmp_path / "film.dcm")
    names = iter("abc")
    identities = Identities(tmp_path / "who.csv", lambda: next(names) * 16)
    intake = Intake(make_store(tmp_path / "store"), identities, lambda frame: None)
    assert [outcome.kind for outcome in import_films([path], intake)] == ["held"]
    return intake.store


def test_release_is_recorded_with_who_and_when(store):
    (name,) = store.names()
    review_film(store, name, "release", "A. Reader", NOW)
    film = store.record(name)
    assert film.state == "released"
    assert [(review.at, review.by, review.decision) for review in film.reviews] == [
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


def test_second_decision_is_added_and_overwrites_nothing(store):
    (name,) = store.names()
    review_film(store, name, "release", "A. Reader", NOW)
    review_film(store, name, "reject", "B. Reader", NOW)
    assert [review.by for review in store.record(name).reviews] == ["A. Reader", "B. Reader"]


def test_decision_by_a_reviewer_who_missed_the_last_review_is_refused(store):
    (name,) = store.names()
    review_film(store, name, "release", "A. Reader", NOW, seen=0)
    with pytest.raises(StaleError, match="was reviewed by somebody else since"):
        review_film(store, name, "reject", "B. Reader", NOW, seen=0)
    assert store.record(name).state == "released"
    assert review_film(store, name, "reject", "B. Reader", NOW, seen=1).state == "rejected"


def test_box_off_the_film_changes_nothing(store):
    (name,) = store.names()
    with pytest.raises(FilmError, match="lies off the film"):
        review_film(store, name, "release", "A. Reader", NOW, [Box(500, 500, 600, 600)])
    assert store.record(name).state == "held"


def test_boxes_that_leave_nothing_are_refused(store):
    (name,) = store.names()
    with pytest.raises(FilmError, match="nothing of the film is left"):
        review_film(store, name, "release", "A. Reader", NOW, [Box(0, 0, 40, 48)])


def test_border_that_leaves_nothing_is_refused(store):
    (name,) = store.names()
    with pytest.raises(FilmError, match="border of 20 px leaves nothing"):
        review_film(store, name, "release", "A. Reader", NOW, border=20)


def test_missing_film_is_named(store):
    with pytest.raises(StoreError, match="contains no film f-zzzzzzzzzzzzzzzz"):
        review_film(store, "f-" + "z" * 16, "release", "A. Reader", NOW)


def test_detection_records_where_text_is_and_runs_once_per_film(store):
    calls = []

    def find_text(pixels):
        calls.append(pixels)
        return (Box(1, 2, 9, 5),)

    detect_text(store, find_text)
    detect_text(store, find_text)
    (film,) = store.films()
    assert len(calls) == 1
    assert (film.text, film.state) == ((Box(1, 2, 9, 5),), "held")
    assert "possible text in 1 place" in film.reasons


def test_detection_without_findings_releases_nothing(store):
    detect_text(store, lambda pixels: ())
    assert next(store.films()).state == "held"


def test_unreviewed_released_film_is_held_once_text_is_detected(store):
    (name,) = store.names()
    record = store.record(name)
    store.put(record.model_copy(update={"burned_in": "NO", "state": "released"}))
    detect_text(store, lambda pixels: (Box(1, 2, 9, 5),))
    assert store.record(name).state == "released"
    detect_text(store, lambda pixels: (Box(1, 2, 9, 5),), everything=True)
    assert store.record(name).state == "held"


def test_film_released_by_a_person_stays_released_whatever_is_detected(store):
    (name,) = store.names()
    review_film(store, name, "release", "A. Reader", NOW)
    detect_text(store, lambda pixels: (Box(1, 2, 9, 5),), everything=True)
    assert store.record(name).state == "released"


def test_rejected_film_is_not_restored_by_the_next_import(store, tmp_path):
    (name,) = store.names()
    review_film(store, name, "reject", "A. Reader", NOW)
    identities = Identities(tmp_path / "who.csv", lambda: "z" * 16)
    intake = Intake(store, identities, lambda frame: None)
    (outcome,) = import_films([tmp_path / "film.dcm"], intake)
    assert (outcome.kind, outcome.film) == ("known", name)
    assert store.record(name).state == "rejected"
    assert not store.pixels_path(name).exists()


def test_decision_made_during_detection_is_kept(store):
    (name,) = store.names()

    def find_text(pixels):
        review_film(store, name, "release", "A. Reader", NOW, [Box(0, 0, 5, 5)])
        return (Box(1, 2, 9, 5),)

    detect_text(store, find_text)
    film = store.record(name)
    assert (film.state, film.reviews[-1].by, film.text) == (
        "released",
        "A. Reader",
        (Box(1, 2, 9, 5),),
    )


def test_film_rejected_during_detection_stays_rejected(store):
    (name,) = store.names()
    detect_text(store, lambda pixels: review_film(store, name, "reject", "A. Reader", NOW) and ())
    assert store.record(name).state == "rejected"


def test_rejection_interrupted_by_a_kill_has_deleted_the_pixels_and_can_be_repeated(
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
