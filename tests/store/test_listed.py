"""PNG and TIFF films reach the store by a table, and from there the page and ``gdshare label``."""

import csv
import hashlib
import json
import os
import re
import stat
import unicodedata
from datetime import UTC, datetime

import numpy as np
import pytest
from command_kit import gdshare
from PIL import Image
from store_kit import square

from gdshare.cohort import open_cohort
from gdshare.films import read_film
from gdshare.films.phantom import phantom_film
from gdshare.store.folder import open_store
from gdshare.store.outline import Drawing, load_outline, save_outline
from gdshare.store.review import review_film

SIDE = 256
GEOMETRY = ("--patch", "24", "--stride", "12", "--side", "16")
BY = ("--by", "R. Adiographer")


def film(number, positive=False):
    picture, mask = phantom_film(number, positive, 0, SIDE)
    return np.asarray(picture), np.asarray(mask)


def write_table(folder, columns, *lines):
    path = folder / "films.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([columns, *lines])
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two patients' films: a PNG of 8 bits, and a TIFF of 16."""
    monkeypatch.chdir(tmp_path)
    pixels, _ = film(0)
    Image.fromarray((pixels >> 8 if pixels.dtype == np.uint16 else pixels).astype(np.uint8)).save(
        "DOE_JANE.png"
    )
    wide = pixels.astype(np.uint16)
    Image.fromarray(wide if pixels.dtype == np.uint16 else wide * 257).save("b.tif")
    return tmp_path


def imported(table, *words):
    return gdshare("import", table, "--out", "store", *words, check=True)


def test_png_and_tiff_are_held_under_random_names_with_their_pixels(folder):
    table = write_table(folder, ("patient", "image"), ("Doe", "DOE_JANE.png"), ("Roe", "b.tif"))
    ended = imported(table)
    assert "held  2  no header says whether text is burned into the image" in ended.err
    first, second = sorted(open_store(folder / "store").films(), key=lambda film: film.kind)
    assert [film.kind for film in (first, second)] == ["PNG", "TIFF"]
    assert [film.state for film in (first, second)] == ["held", "held"]
    assert first.patient != second.patient
    assert first.spacing_mm is None
    store = open_store(folder / "store")
    expected = read_film(folder / "DOE_JANE.png").pixels.astype(np.uint16) * 257
    np.testing.assert_array_equal(store.pixels(first).pixels, expected)
    np.testing.assert_array_equal(store.pixels(second).pixels, read_film(folder / "b.tif").pixels)


def test_no_name_reaches_the_store_and_the_identities_lead_back(folder):
    # No random name has a _ or an 8.
    imported(write_table(folder, ("patient", "image"), ("Doe8", "DOE_JANE.png")))
    for path in (folder / "store").rglob("*"):
        content = path.name.encode() + (b"" if path.is_dir() else path.read_bytes())
        assert not re.search(rb"doe[_8]", content.lower())
    identities = folder / "store-identities.csv"
    assert stat.S_IMODE(identities.stat().st_mode) == 0o600
    [line] = csv.DictReader(identities.read_text(encoding="utf-8").splitlines())
    digest = hashlib.sha256((folder / "DOE_JANE.png").read_bytes()).hexdigest()
    assert line["patient_id"] == "Doe8"
    assert line["study_uid"] == str((folder / "DOE_JANE.png").resolve())
    assert line["instance_uid"] == f"sha256:{digest}"


def test_films_of_one_patient_stay_together_and_a_second_import_adds_nothing(folder):
    table = write_table(folder, ("patient", "image"), ("Doe", "DOE_JANE.png"), ("Doe", "b.tif"))
    imported(table)
    before = list(open_store(folder / "store").films())
    assert len({film.patient for film in before}) == 1
    (folder / "DOE_JANE.png").rename(folder / "moved.png")
    table = write_table(folder, ("patient", "image"), ("Doe", "moved.png"), ("Doe", "b.tif"))
    counts = json.loads(imported(table, "--json").out)["counts"]
    assert counts == {"known": 2}
    assert list(open_store(folder / "store").films()) == before


def test_same_film_of_two_patients_is_refused(folder):
    (folder / "copy.png").write_bytes((folder / "DOE_JANE.png").read_bytes())
    table = write_table(folder, ("patient", "image"), ("Doe", "DOE_JANE.png"), ("Roe", "copy.png"))
    [refused] = json.loads(imported(table, "--json").out)["refused"]
    assert "films.csv, line 3: " in refused["reason"]
    assert "was imported as another patient's" in refused["reason"]


def test_refused_film_is_named_with_its_line_and_the_others_are_imported(folder):
    Image.new("RGB", (40, 40), (1, 2, 3)).save(folder / "colour.png")
    lines = (("Doe", "DOE_JANE.png"), ("Roe", "colour.png"), ("Poe", "missing.png"))
    result = json.loads(imported(write_table(folder, ("patient", "image"), *lines), "--json").out)
    assert result["counts"] == {"held": 1, "refused": 2}
    reasons = [refused["reason"] for refused in result["refused"]]
    assert "films.csv, line 3: " in reasons[0]
    assert "colour.png" in reasons[0]
    assert "films.csv, line 4: " in reasons[1]
    assert "missing.png" in reasons[1]


@pytest.mark.parametrize("place", ["image", "mask"])
def test_pipe_in_place_of_a_film_or_mask_is_refused_by_line_without_waiting(folder, place):
    os.mkfifo(folder / "pipe")
    line = ("Roe", "pipe", "") if place == "image" else ("Roe", "b.tif", "pipe")
    table = write_table(folder, ("patient", "image", "mask"), ("Doe", "DOE_JANE.png", ""), line)
    result = json.loads(imported(table, "--json").out)
    assert result["counts"] == {"held": 1, "refused": 1}
    [refused] = result["refused"]
    assert "films.csv, line 3: " in refused["reason"]
    assert "pipe: cannot be opened (not a plain file)" in refused["reason"]


def test_patient_in_two_spellings_of_two_tables_is_one_patient(folder):
    imported(write_table(folder, ("patient", "image"), ("M\u00fcller", "DOE_JANE.png")))
    other = unicodedata.normalize("NFD", "M\u00fcller")
    imported(write_table(folder, ("patient", "image"), (f"{other} ", "b.tif")))
    assert len({film.patient for film in open_store(folder / "store").films()}) == 1


def test_pixel_size_of_the_table_is_kept(folder):
    columns = ("patient", "image", "spacing_mm")
    imported(write_table(folder, columns, ("Doe", "DOE_JANE.png", "0.2")))
    [film] = open_store(folder / "store").films()
    assert film.spacing_mm == (0.2, 0.2)


def test_diagnosis_and_mask_of_the_table_are_the_drawing_to_the_pixel(folder):
    _, mask = film(0)
    Image.fromarray(np.uint8(mask > 0) * np.uint8(255)).save(folder / "mask.png")
    columns = ("patient", "image", "mask", "diagnosis")
    table = write_table(folder, columns, ("Doe", "DOE_JANE.png", "mask.png", "positive"))
    imported(table)
    store = open_store(folder / "store")
    [stored] = store.films()
    outline = load_outline(store, stored.film)
    assert outline.drawing.diagnosis == "positive"
    np.testing.assert_array_equal(outline.drawing.inside((SIDE, SIDE)), mask > 0)


def test_import_does_not_overwrite_what_was_drawn_since(folder):
    columns = ("patient", "image", "diagnosis")
    table = write_table(folder, columns, ("Doe", "DOE_JANE.png", "positive"))
    imported(table)
    store = open_store(folder / "store")
    [stored] = store.films()
    released = review_film(store, stored.film, "release", "R", datetime.now(UTC))
    drawn = Drawing(polygons=[[square(4, 4, 60, 60)]], diagnosis="negative")
    save_outline(store, released, drawn, 1, datetime.now(UTC))
    imported(table)
    assert load_outline(store, stored.film).drawing == drawn


def test_png_in_a_folder_is_left_out_and_the_table_is_named(folder):
    ended = gdshare("import", ".", "--out", "store")
    assert ended.status
    assert "a PNG or TIFF (import it by a table: patient,image)" in ended.err


def test_table_without_patients_is_refused_before_a_store_is_made(folder):
    ended = gdshare("import", write_table(folder, ("image",), ("b.tif",)), "--out", "store")
    assert ended.status == 2
    assert "has no column patient" in ended.err
    assert not (folder / "store").exists()


def test_split_of_the_table_is_said_to_be_left_out(folder):
    table = write_table(folder, ("patient", "image", "split"), ("Doe", "b.tif", "train"))
    assert "its column split is left out" in imported(table).err


def test_films_of_a_table_are_reviewed_outlined_and_labelled(folder):
    """The whole way from two PNGs a split to a cohort, by commands alone."""
    lines = []
    for number in range(8):
        pixels, mask = film(number, positive=number % 2 == 1)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        Image.fromarray(np.uint8(mask > 0) * np.uint8(255)).save(folder / f"mask-{number}.png")
        diagnosis = "positive" if number % 2 else "negative"
        lines.append((f"patient {number}", f"{number}.png", f"mask-{number}.png", diagnosis))
    imported(write_table(folder, ("patient", "image", "mask", "diagnosis"), *lines))
    names = open_store(folder / "store").names()
    gdshare("review", "store", *names, "--release", *BY, check=True)
    split = ("--split", "0.5,0.25,0.25")
    gdshare("label", "store", "--out", "by-page", *GEOMETRY, *split, check=True)
    gdshare("label", "films.csv", "--out", "by-table", *GEOMETRY, *split, check=True)
    by_page, by_table = (open_cohort(folder / name) for name in ("by-page", "by-table"))
    total = [
        tuple(sum(getattr(cohort.counts[name], kind) for name in cohort.counts) for kind in "inp")
        for cohort in (by_page, by_table)
    ]
    assert total[0] == total[1]
    assert all(total[0])
