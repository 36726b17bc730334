"""``gdshare review``: the list of held films, and decisions about them."""

import json

import numpy as np
import pytest
from command_kit import gdshare
from PIL import Image, ImageDraw, ImageFont
from store_kit import small_store, stored

HELD = stored(0, 256, state="held", burned_in=None, text=None)
NOT_BURNED_IN = stored(1, 256, text=None)


@pytest.fixture
def store(tmp_path):
    """One film is held, the header of the other says NO, and both show a name."""
    store = small_store(tmp_path / "store", HELD, NOT_BURNED_IN)
    picture = Image.new("L", (256, 256), 40)
    ImageDraw.Draw(picture).text((20, 100), "MUELLER 4711", 220, ImageFont.load_default(28))
    pixels = np.asarray(picture).astype(np.uint16) * np.uint16(257)
    for film in (HELD, NOT_BURNED_IN):
        store.put(film, pixels)
    return store


def test_held_films_are_listed_with_the_detected_text(store):
    run = gdshare("review", store.path, "--json")
    assert run.status == 0
    [film] = json.loads(run.out)
    assert film["film"] == HELD.film
    assert film["text"]
    assert store.record(NOT_BURNED_IN.film).text is None


def test_all_includes_films_whose_header_says_no_and_counts_those_now_held(store):
    run = gdshare("review", store.path, "--all")
    assert run.status == 0
    assert "2 films held" in run.out
    assert "released films that are held now: 1" in run.err
    assert store.record(NOT_BURNED_IN.film).state == "held"


def test_release_blacks_out_boxes_and_is_recorded(store):
    options = ("--release", "--by", "A. Reader", "--mask-boxes", "10,90,240,140")
    run = gdshare("review", store.path, HELD.film, *options)
    assert (run.status, run.out.splitlines()[0]) == (0, f"{HELD.film}  released")
    record = store.record(HELD.film)
    assert record.reviews[0].by == "A. Reader"
    assert not store.pixels(record).pixels[90:140, 10:240].any()


def test_reject_deletes_the_pixels(store):
    assert gdshare("review", store.path, HELD.film, "--reject").status == 0
    assert not store.pixels_path(HELD.film).exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--release"], "--release and --reject need films; name them"),
        ([HELD.film], "give either --release or --reject"),
        ([HELD.film, "--release", "--reject"], "give either --release or --reject"),
        (
            [HELD.film, "--reject", "--crop-border", "3"],
            "--crop-border and --mask-boxes are for --release",
        ),
        (
            [HELD.film, "--release", "--by", ""],
            "--by: is empty or too long; give a name of 1 to 200 characters",
        ),
        ([HELD.film, "--release", "--mask-boxes", "1,2,3"], "give four whole numbers"),
        ([HELD.film, "--release", "--mask-boxes", "900,0,999,9"], "lies off the film"),
        (["f-" + "q" * 16, "--release"], "contains no film f-qqqqqqqqqqqqqqqq"),
    ],
)
def test_contradictory_command_is_refused_and_changes_nothing(store, words, message):
    run = gdshare("review", store.path, *words)
    assert run.status == 2
    assert message in run.err
    assert store.record(HELD.film) == HELD
