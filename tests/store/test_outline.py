import csv
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import numpy as np
import pytest
from pydantic import ValidationError
from store_kit import small_store, square, stored

from gdshare.cohort import label_cohort, open_cohort
from gdshare.errors import StaleError, StoreError
from gdshare.films import read_mask
from gdshare.protocol import Protocol
from gdshare.store.outline import MAX_POINTS, Drawing, load_outline, save_outline
from gdshare.store.table import omissions, outlined_films, write_table

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
ORGAN = Drawing(polygons=((square(4, 4, 60, 40), square(10, 10, 20, 20)),), diagnosis="positive")
PROTOCOL = Protocol(patch=16, stride=8, side=16)


@pytest.fixture
def store(tmp_path):
    return small_store(tmp_path / "store", stored(0), stored(1), stored(2))


def save(store, number=0, drawing=ORGAN, based_on=0):
    return save_outline(store, stored(number), drawing, based_on, NOW)


def test_film_without_an_outline_has_an_empty_drawing_of_version_0(store):
    outline = load_outline(store, stored(0).film)
    assert (outline.version, outline.saved_at, outline.drawing) == (0, None, Drawing())


def test_saved_outline_is_read_back(store):
    saved = save(store)
    assert (saved.version, saved.saved_at) == (1, NOW)
    assert load_outline(store, stored(0).film) == saved


def test_save_based_on_an_old_version_is_refused_and_changes_nothing(store):
    save(store)
    other = Drawing(diagnosis="negative")
    with pytest.raises(StaleError, match=r"changed elsewhere since \(version 1, not 0\)"):
        save(store, drawing=other)
    assert load_outline(store, stored(0).film).drawing == ORGAN


def test_save_that_changes_nothing_keeps_its_version(store):
    assert save(store).version == save(store, based_on=1).version == 1


def test_one_of_several_simultaneous_saves_succeeds(store):
    def attempt(number):
        try:
            points = square(0, 0, 10 + number, 10)
            return save(store, drawing=Drawing(polygons=((points,),))).version
        except StaleError:
            return 0

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(attempt, range(8))) == [0] * 7 + [1]


@pytest.mark.parametrize("state", ["held", "rejected"])
def test_film_that_is_not_released_is_not_outlined(store, state):
    with pytest.raises(StoreError, match=f"is {state} and cannot be outlined"):
        save_outline(store, stored(0, state=state), ORGAN, 0, NOW)


@pytest.mark.parametrize(
    "polygons",
    [
        [[[[0, 0], [1, 1]]]],
        [[]],
        [[[[0, 0], [1, 1], [float("nan"), 0]]]],
        [[[[0, 0], [1, 1], [1e7, 0]]]],
        [[[[0, 0]] * (MAX_POINTS + 1)]],
    ],
    ids=["two points", "no ring", "not a number", "far off", "too many points"],
)
def test_polygons_that_are_not_an_outline_are_refused(polygons):
    with pytest.raises(ValidationError):
        Drawing(polygons=polygons)


@pytest.mark.parametrize("content", ["", "{}", '{"film": 3}', "[" * 5000])
def test_damaged_file_is_named_and_never_overwritten(store, content):
    save(store)
    path = store.path / "outlines" / f"{stored(0).film}.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(StoreError, match=r"aaaa\.json: damaged; restore its last good copy"):
        save(store, based_on=1)
    assert path.read_text(encoding="utf-8") == content


def test_outline_of_another_film_is_refused(store):
    save(store)
    folder = store.path / "outlines"
    (folder / f"{stored(0).film}.json").rename(folder / f"{stored(1).film}.json")
    with pytest.raises(StoreError, match="is the outline of f-aaaa"):
        load_outline(store, stored(1).film)


def test_name_that_leads_out_of_the_store_is_refused(store):
    with pytest.raises(StoreError, match="not a film's name"):
        load_outline(store, "../store")


def test_hole_is_outside_the_organ():
    inside = ORGAN.inside((64, 64))
    assert inside.sum() == 56 * 36 - 100
    assert not inside[12, 12]


def test_only_films_with_outline_and_diagnosis_are_ready(store):
    save(store, 0)
    save(store, 1, Drawing(polygons=ORGAN.polygons))
    save(store, 2, Drawing(diagnosis="negative"))
    assert [outlined.film.film for outlined in outlined_films(store)] == [stored(0).film]


def test_film_rejected_after_it_was_outlined_is_not_ready(store):
    save(store)
    store.put(stored(0, state="rejected"))
    assert outlined_films(store) == []


def test_patient_with_two_diagnoses_is_refused_naming_both_films(tmp_path):
    other = stored(1, patient=stored(0).patient)
    store = small_store(tmp_path / "store", stored(0), other)
    save_outline(store, stored(0), ORGAN, 0, NOW)
    negative = ORGAN.model_copy(update={"diagnosis": "negative"})
    save_outline(store, other, negative, 0, NOW)
    with pytest.raises(
        StoreError, match=r"f-a+ and f-b+ are of the same patient but positive and neg"
    ):
        outlined_films(store)


def test_store_without_a_ready_film_is_refused_with_the_remedy(store):
    with pytest.raises(StoreError, match="add them with gdshare label --serve"):
        write_table(store)


def test_table_lists_ready_films_with_masks_and_pixel_size(store):
    save(store)
    with write_table(store).open(encoding="utf-8") as stream:
        (line,) = csv.DictReader(stream)
    assert line == {
        "patient": stored(0).patient,
        "image": f"films/{store.pixels_path(stored(0).film).name}",
        "mask": f"masks/{stored(0).film}.png",
        "diagnosis": "positive",
        "spacing_mm": "0.15",
    }
    mask = read_mask(store.path / line["mask"], (64, 64))
    np.testing.assert_array_equal(mask, ORGAN.inside((64, 64)))


@pytest.mark.parametrize("spacing", [None, (0.15, 0.3)])
def test_unknown_or_oblong_pixels_have_no_size_in_the_table(tmp_path, spacing):
    store = small_store(tmp_path / "store", stored(0, spacing_mm=spacing))
    save(store)
    assert write_table(store).read_text(encoding="utf-8").splitlines()[1].endswith("positive,")


def test_table_is_labelled_like_any_other(store, tmp_path):
    save(store)
    save(store, 1, ORGAN.model_copy(update={"diagnosis": "negative"}))
    label_cohort(write_table(store), tmp_path / "cohort", PROTOCOL, (1.0, 0.0, 0.0))
    counts = open_cohort(tmp_path / "cohort").counts["train"]
    assert (counts.films, counts.negative, counts.positive) == (2, 1, 1)
    assert counts.n == counts.p > 0


def test_drawing_after_a_kill_is_the_old_or_the_new(store, monkeypatch):
    save(store)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("gdshare.storage.Path.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save(store, drawing=Drawing(), based_on=1)
    assert load_outline(store, stored(0).film).drawing == ORGAN
    names = [path.name for path in (store.path / "outlines").iterdir()]
    assert sorted(names) == [".lock", f"{stored(0).film}.json"]


def test_file_is_plain_json(store):
    save(store)
    path = store.path / "outlines" / f"{stored(0).film}.json"
    assert json.loads(path.read_text(encoding="utf-8"))["drawing"]["polygons"][0][0][0] == [4, 4]


def test_omitted_films_are_counted_by_reason(tmp_path):
    held = {"state": "held"}
    films = [stored(0), stored(1), stored(2), stored(3, **held), stored(4, state="rejected")]
    store = small_store(tmp_path / "store", *films)
    save(store)
    save(store, 1, Drawing(polygons=ORGAN.polygons))
    assert omissions(store) == "1 held for review; 1 without a diagnosis; 1 without an outline"
    store.put(stored(0, **held))
    assert "1 held for review, though outlined" in omissions(store)


def test_complete_table_has_no_omissions(store):
    for number in range(3):
        save(store, number)
    assert omissions(store) == ""
