"""``gdshare review``: what a person sees of the held films, and how a decision is told."""

import json

import numpy as np
import pytest
from command_kit import gdshare
from PIL import Image, ImageDraw, ImageFont
from store_kit import small_store, stored

HELD = stored(0, 256, state="held", burned_in=None, text=None)
SAID_NO = stored(1, 256, text=None)


@pytest.fixture
def store(tmp_path):
    """One film is held; the header of the other says NO, and both show a name."""
    store = small_store(tmp_path / "store", HELD, SAID_NO)
    picture = Image.new("L", (256, 256), 40)
    ImageDraw.Draw(picture).text((20, 100), "MUELLER 4711", 220, ImageFont.load_default(28))
    pixels = np.asarray(picture).astype(np.uint16) * np.uint16(257)
    for film in (HELD, SAID_NO):
        store.put(film, pixels)
    return store


def test_held_films_are_listed_with_what_the_detector_sees(store):
    status, out, _ = gdshare("review", store.path, "--json")
    assert status == 0
    [film] = json.loads(out)
    assert film["film"] == HELD.film
    assert film["text"]
    assert store.record(SAID_NO.film).text is None


def test_all_looks_at_films_whose_header_says_no_and_tells_which_it_holds(store):
    status, out, err = gdshare("review", store.path, "--all")
    assert status == 0
    assert "2 films held" in out
    assert "films that were released and are held now: 1" in err
    assert store.record(SAID_NO.film).state == "held"


def test_release_makes_boxes_black_for_the_record(store):
    words = ("--release", "--by", "A. Reader", "--mask-boxes", "10,90,240,140")
    status, out, _ = gdshare("review", store.path, HELD.film, *words)
    assert (status, out) == (0, f"{HELD.film}  released\n")
    record = store.record(HELD.film)
    assert record.reviews[0].by == "A. Reader"
    assert not store.pixels(record).pixels[90:140, 10:240].any()


def test_reject_deletes_the_pixels(store):
    assert gdshare("review", store.path, HELD.film, "--reject")[0] == 0
    assert not store.pixels_path(HELD.film).exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--release"], "name the films that they are about"),
        ([HELD.film], "say either --release or --reject"),
        ([HELD.film, "--release", "--reject"], "say either --release or --reject"),
        ([HELD.film, "--reject", "--crop-border", "3"], "go with --release only"),
        ([HELD.film, "--release", "--by", ""], "give a name of 1 to 200 letters"),
        ([HELD.film, "--release", "--mask-boxes", "1,2,3"], "give four whole numbers"),
        ([HELD.film, "--release", "--mask-boxes", "900,0,999,9"], "lies off the film"),
        (["f-" + "q" * 16, "--release"], "holds no film f-qqqqqqqqqqqqqqqq"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_changes_nothing(store, words, told):
    status, _, err = gdshare("review", store.path, *words)
    assert status == 2
    assert told in err
    assert store.record(HELD.film) == HELD
