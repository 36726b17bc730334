import numpy as np
import pytest
from PIL import Image

from gdshare.errors import FilmError, UsageError
from gdshare.films import read_mask
from gdshare.films.mask import parse_interval

INSIDE = np.indices((10, 20)).sum(axis=0) % 5 == 0
"""20% of the pixels."""


def mask_of(path, values, dtype=np.uint8):
    Image.fromarray(np.asarray(values).astype(dtype)).save(path)
    return path


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(
    ("outside", "inside", "dtype"),
    [
        (0, 1, np.uint8),
        (0, 255, np.uint8),
        (128, 255, np.uint8),
        (1, 2, np.uint8),
        (0, 1, np.uint16),
        (0, 255, np.uint16),
        (0, 65535, np.uint16),
        (False, True, np.bool_),
    ],
)
def test_brighter_of_two_values_is_inside(tmp_path, outside, inside, dtype, suffix):
    path = mask_of(tmp_path / f"m.{suffix}", np.where(INSIDE, inside, outside), dtype)
    np.testing.assert_array_equal(read_mask(path, INSIDE.shape), INSIDE)


@pytest.mark.parametrize(("dtype", "values"), [(np.float32, (0.0, 0.5)), (np.int32, (-1, 1))])
def test_two_real_or_signed_values_are_a_mask(tmp_path, dtype, values):
    path = mask_of(tmp_path / "m.tif", np.where(INSIDE, values[1], values[0]), dtype)
    np.testing.assert_array_equal(read_mask(path, INSIDE.shape), INSIDE)


@pytest.mark.parametrize("value", [0, 1, 128])
def test_mask_of_a_single_value_is_refused_with_the_value(tmp_path, value):
    path = mask_of(tmp_path / "m.png", np.full(INSIDE.shape, value))
    with pytest.raises(FilmError, match=rf"m\.png: the mask has the single value {value}, so it"):
        read_mask(path, INSIDE.shape)


def test_mask_that_is_white_all_over_marks_the_whole_film(tmp_path):
    path = mask_of(tmp_path / "m.png", np.full(INSIDE.shape, 255))
    assert read_mask(path, INSIDE.shape).all()


@pytest.mark.parametrize("values", [(0, 1, 2), (0, 128, 255), (0, 1, 255)])
def test_three_values_are_refused_with_values_shares_and_the_option(tmp_path, values):
    labels = np.zeros(INSIDE.shape, int)
    labels[:5], labels[5:7], labels[7:] = values
    path = mask_of(tmp_path / "m.png", labels)
    with pytest.raises(FilmError) as refusal:
        read_mask(path, INSIDE.shape)
    shares = f"{values[0]} (50.00%), {values[1]} (20.00%), {values[2]} (30.00%)"
    assert f"the mask has 3 values, not two: {shares}; choose" in str(refusal.value)
    assert "gdshare outline --inside VALUE" in str(refusal.value)


def test_chosen_values_are_inside(tmp_path):
    labels = np.arange(200).reshape(INSIDE.shape) % 4
    path = mask_of(tmp_path / "m.png", labels)
    for inside, wanted in (
        ([(2, 2)], labels == 2),
        ([(1, 1), (3, 3)], labels % 2 == 1),
        ([(1, 2)], (labels == 1) | (labels == 2)),
    ):
        np.testing.assert_array_equal(read_mask(path, INSIDE.shape, inside), wanted)


def test_darker_of_two_values_can_be_chosen(tmp_path):
    path = mask_of(tmp_path / "m.png", np.where(INSIDE, 0, 255))
    np.testing.assert_array_equal(read_mask(path, INSIDE.shape, [(0, 0)]), INSIDE)


def test_value_that_the_mask_lacks_is_refused_with_those_it_has(tmp_path):
    path = mask_of(tmp_path / "m.png", np.where(INSIDE, 7, 3))
    with pytest.raises(FilmError, match=r"only 3 \(80\.00%\), 7 \(20\.00%\)"):
        read_mask(path, INSIDE.shape, [(255, 255)])


def test_thin_soft_edge_is_cut_at_half_of_the_range(tmp_path):
    ramp = np.clip((np.arange(400) - 180) * 15, 0, 255)
    path = mask_of(tmp_path / "m.png", np.tile(ramp, (3, 1)))
    np.testing.assert_array_equal(read_mask(path, (3, 400)), np.tile(ramp > 127, (3, 1)))


def test_numbers_of_many_classes_are_no_soft_edge(tmp_path):
    numbers = np.zeros((100, 100))
    numbers[0, :20] = np.arange(1, 21)
    numbers[50:60] = 255
    numbers[60:63] = 7
    with pytest.raises(FilmError, match="22 values, not two"):
        read_mask(mask_of(tmp_path / "m.png", numbers), (100, 100))


def test_wide_soft_edge_is_named_and_read_with_a_range(tmp_path):
    ramp = np.clip((np.arange(400) - 180) * 5, 0, 255)
    path = mask_of(tmp_path / "m.png", np.tile(ramp, (3, 1)))
    with pytest.raises(FilmError, match=r"its edge is soft.*--inside VALUE, such as 128-255"):
        read_mask(path, (3, 400))
    mask = read_mask(path, (3, 400), [parse_interval("128-255")])
    np.testing.assert_array_equal(mask, np.tile(ramp >= 128, (3, 1)))


def test_mask_that_jpeg_blurred_is_told_so(tmp_path):
    y, x = np.mgrid[:64, :64]
    soft = (255 / (1 + np.exp(np.hypot(x - 32, y - 32) - 20))).astype(np.uint8)
    path = mask_of(tmp_path / "m.png", soft)  # its two most frequent values are two thirds of it
    with pytest.raises(FilmError, match=r"its edge is soft.*--inside VALUE, such as 127-254"):
        read_mask(path, (64, 64))


@pytest.mark.parametrize(
    ("text", "interval"),
    [("3", (3, 3)), ("128-255", (128, 255)), ("-1", (-1, -1)), ("0.5-1", (0.5, 1))],
)
def test_value_and_range_are_read(text, interval):
    assert parse_interval(text) == interval


@pytest.mark.parametrize("text", ["", "organ", "1-", "1-2-3", "nan", "255-128"])
def test_what_is_neither_value_nor_range_is_refused(text):
    with pytest.raises(UsageError, match="is no value of a mask"):
        parse_interval(text)
