"""A film's gray levels are harmonised alike, whatever recorded them and whatever computes it."""

import hashlib
import tracemalloc
from typing import get_args

import numpy as np
import pytest
from dicom_kit import gradient, radiograph, save

from gdshare.films import Film, read_film
from gdshare.protocol import Tone
from gdshare.tone import exposed_field, harmonise

TONES = get_args(Tone)
CURVES = [tone for tone in TONES if tone != "none"]
DIGESTS = {
    "none": "11a3c2be81a5ab3702fc379f8f722b8600a1e5a682a95c17ede89d697ebbe044",
    "equalise": "5fd435de343c62ed7db8c86327fb4ea651f07bedc48c1256cf4796f3861dd06a",
    "half": "eee98d681a4f49f2060bd5e36711872d400479f7c2a7e7a874f65dfd1b61b17e",
    "levels": "5ddd890115bb760482a240db0cec087d57d489eec1f9bb3fc3e1b2a104e79136",
}
"""SHA-256 of float32, little-endian, of one film."""


def speckled(height=300, width=260, low=9000, high=52000):
    """A film of whole-number arithmetic, so that it is the same everywhere: uint16."""
    y, x = np.mgrid[:height, :width]
    values = abs((y * 7 + x * 5) % 1000 - 500) * 100 + (x * 7919 + y * 104729) % 9973
    return (low + values * (high - low) // values.max()).astype(np.uint16)


def framed(film, level=0):
    """The film with a frame around it, and where in it the film is."""
    margins = [(side // 4, side // 4) for side in film.shape]
    return np.pad(film, margins, constant_values=level), tuple(
        slice(before, before + side) for (before, _), side in zip(margins, film.shape, strict=True)
    )


def toned(pixels, tone):
    return harmonise(Film(pixels, "film").scaled(), tone)


def test_none_leaves_a_film_as_it_is():
    scaled = Film(speckled(), "film").scaled()
    assert harmonise(scaled, "none") is scaled


def test_equalise_gives_each_pixel_its_rank():
    film = np.array([[10, 10, 200], [30, 10, 200]], np.uint8)
    wanted = np.array([[3, 3, 10], [7, 3, 10]]) / 12
    np.testing.assert_array_equal(toned(film, "equalise"), wanted.astype(np.float32))


def test_levels_takes_percentiles_to_black_and_white_and_the_median_to_the_middle():
    order = np.arange(1000) * 387 % 1000
    film = (order * 7 + order**2 // 50).astype(np.uint16).reshape(40, 25)
    shades = np.sort(toned(film, "levels"), axis=None)
    np.testing.assert_array_equal(np.flatnonzero(shades == 0), np.arange(10))
    np.testing.assert_array_equal(np.flatnonzero(shades == 1), np.arange(989, 1000))
    assert shades[499] == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("level", [0, 65535])
def test_a_frame_does_not_bend_the_film_in_it(level):
    film = speckled()
    whole, inside = framed(film, level)
    np.testing.assert_array_equal(toned(whole, "levels")[inside], toned(film, "levels"))
    assert np.abs(toned(whole, "equalise")[inside] - toned(film, "equalise")).max() > 0.2


def test_a_white_shutter_on_a_black_frame_with_a_marker_does_not_bend_the_film():
    film = speckled()
    shut = np.pad(film, 20, constant_values=65535)
    whole = np.pad(shut, 60, constant_values=0)
    whole[10:22, 15:50] = 65535  # a marker on the frame
    whole[25:30, 15:50:3] = 30000  # and gray letters under it
    difference = np.abs(toned(whole, "levels")[80:-80, 80:-80] - toned(film, "levels"))
    assert difference.max() < 0.002


def test_a_noisy_frame_with_a_marker_is_no_field():
    whole, inside = framed(speckled())
    whole += (np.indices(whole.shape).sum(0) % 3 * 150).astype(np.uint16)
    whole[20:40, 20:80] = 65535
    assert exposed_field(whole) == inside


def test_a_narrow_film_between_shutters_is_the_field():
    whole = np.pad(speckled(300, 60), ((40, 10), (300, 200)))
    assert exposed_field(whole) == (slice(40, 340), slice(300, 360))


def test_dark_and_bright_parts_of_a_film_are_field():
    film = speckled()
    film[100:160, :200], film[160:220, 60:] = 0, 65535
    assert film[exposed_field(film)].shape == film.shape


@pytest.mark.parametrize("tone", CURVES)
def test_another_curve_of_the_detector_makes_little_difference(tone):
    film = speckled()
    bent = np.rint((film / 65535.0) ** 1.8 * 65535).astype(np.uint16)
    before = np.abs(Film(film, "").scaled() - Film(bent, "").scaled()).mean()
    after = np.abs(toned(film, tone) - toned(bent, tone)).mean()
    assert after < (0.001 if tone == "equalise" else before / 3)


@pytest.mark.parametrize("tone", CURVES)
def test_no_brighter_pixel_becomes_the_darker(tone):
    film = framed(speckled())[0]
    order = film.argsort(axis=None, kind="stable")
    assert (np.diff(toned(film, tone).ravel()[order]) >= 0).all()


@pytest.mark.parametrize("tone", TONES)
def test_a_film_of_8_bits_and_the_same_in_16_come_out_alike(tone):
    film = (speckled() >> 8).astype(np.uint8)
    wide = film.astype(np.uint16) * 257
    np.testing.assert_array_equal(toned(film, tone), toned(wide, tone))


@pytest.mark.parametrize("tone", TONES)
def test_stored_either_way_round_a_film_comes_out_alike(tone, tmp_path):
    values = gradient(12, 96, 80)
    shown = save(radiograph(values), tmp_path / "shown.dcm")
    inverted = radiograph(4095 - values, PhotometricInterpretation="MONOCHROME1")
    films = [read_film(shown), read_film(save(inverted, tmp_path / "inverted.dcm"))]
    assert films[0].pixels.std() > 1000
    np.testing.assert_allclose(*(toned(film.pixels, tone) for film in films), atol=2e-5)


@pytest.mark.parametrize("tone", TONES)
@pytest.mark.parametrize(
    "film",
    [
        *(np.full((40, 30), level, np.uint16) for level in (0, 30000, 65535)),
        np.indices((40, 30)).sum(0).astype(np.uint16) % 2 * 65535,
        np.array([[7]], np.uint8),
        np.arange(40, dtype=np.uint8)[None],
        np.eye(3, dtype=np.uint8),
    ],
    ids=["black", "gray", "white", "two-levels", "one-pixel", "one-row", "tiny"],
)
def test_a_degenerate_film_stays_within_bounds(tone, film):
    shades = toned(film, tone)
    assert shades.dtype == np.float32
    assert shades.shape == film.shape
    assert 0 <= shades.min() <= shades.max() <= 1  # so none is NaN


def test_a_narrow_film_on_a_wholly_black_frame_is_spread():
    film = speckled(low=3000, high=4000)
    whole, inside = framed(film)
    shades = toned(whole, "levels")[inside]
    assert np.percentile(shades, 95) - np.percentile(shades, 5) > 0.7


def test_a_large_film_is_harmonised_in_the_memory_of_a_few_films():
    film = Film(speckled(1100, 1100), "film").scaled()
    for tone in TONES:
        tracemalloc.start()
        harmonise(film, tone)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 6 * film.nbytes, tone


@pytest.mark.parametrize("tone", TONES)
def test_every_machine_gives_the_same_bytes(tone):
    film = framed(speckled(1100, 1300))[0]
    digest = hashlib.sha256(toned(film, tone).astype("<f4").tobytes()).hexdigest()
    assert digest == DIGESTS[tone]
