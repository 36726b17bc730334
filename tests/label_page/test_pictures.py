import numpy as np
import pytest

from gdshare.films import Film
from gdshare.label_page.pictures import picture


def values(shown):
    return np.frombuffer(shown.data, "<u2").reshape(shown.height, shown.width)


def test_film_of_16_bit_travels_as_it_is():
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    np.testing.assert_array_equal(values(picture(Film(pixels, "film"), 16)), pixels)


def test_film_of_8_bit_fills_the_range():
    pixels = np.array([[0, 255]], np.uint8)
    np.testing.assert_array_equal(values(picture(Film(pixels, "film"), 16)), [[0, 65535]])


@pytest.mark.parametrize("shape", [(8, 8), (9, 7)])
def test_film_too_large_to_show_is_averaged_over_squares(monkeypatch, shape):
    pixels = np.random.default_rng(0).integers(0, 65536, shape, np.uint16)
    shown = values(picture(Film(pixels, "film"), 16))
    assert shown.shape == (-(-shape[0] // 2), -(-shape[1] // 2))
    assert shown[0, 0] == pixels[:2, :2].sum() // 4
    assert shown[-1, -1] == int(pixels[(shape[0] - 1) // 2 * 2 :, (shape[1] - 1) // 2 * 2 :].mean())
