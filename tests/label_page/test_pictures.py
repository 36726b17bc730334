import io

import numpy as np
import pytest
from PIL import Image

from gdshare.films import Film
from gdshare.label_page.pictures import make_picture, make_thumbnail


def values(picture):
    return np.frombuffer(picture.data, "<u2").reshape(picture.height, picture.width)


def test_16_bit_film_is_sent_unchanged():
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    np.testing.assert_array_equal(values(make_picture(Film(pixels, "film"), 16)), pixels)


def test_8_bit_film_fills_the_range():
    pixels = np.array([[0, 255]], np.uint8)
    np.testing.assert_array_equal(values(make_picture(Film(pixels, "film"), 16)), [[0, 65535]])


@pytest.mark.parametrize("shape", [(8, 8), (9, 7)])
def test_oversized_film_is_averaged_over_squares(shape):
    pixels = np.random.default_rng(0).integers(0, 65536, shape, np.uint16)
    result = values(make_picture(Film(pixels, "film"), 16))
    assert result.shape == (-(-shape[0] // 2), -(-shape[1] // 2))
    assert result[0, 0] == pixels[:2, :2].sum() // 4
    assert result[-1, -1] == int(
        pixels[(shape[0] - 1) // 2 * 2 :, (shape[1] - 1) // 2 * 2 :].mean()
    )


def test_thumbnail_is_small_and_uses_the_whole_range():
    pixels = np.tile(np.linspace(30_000, 34_000, 960).astype(np.uint16), (480, 1))
    pixels[:, :200] = 0  # a border that is not counted
    image = Image.open(io.BytesIO(make_thumbnail(Film(pixels, "film"))))
    assert (image.format, image.mode) == ("PNG", "L")
    assert image.width * image.height <= 96 * 96
    assert image.getextrema() == (0, 255)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_thumbnail_of_a_film_of_one_gray_is_made(value):
    film = Film(np.full((300, 200), value, np.uint16), "film")
    assert make_thumbnail(film).startswith(b"\x89PNG")
