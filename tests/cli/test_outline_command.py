import json

import numpy as np
import pytest
from command_kit import gdshare
from dicom_kit import gradient, radiograph, save
from outline_kit import SHAPE, coco, filled, labelme, rings_mask, square, write
from PIL import Image

from gdshare.films.outlines import write_outline


@pytest.fixture
def folder(tmp_path):
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(tmp_path / "17.png")
    shapes = ({"points": square(6, 4, 30, 20)}, {"points": square(0, 0, 9, 9), "label": "liver"})
    write(tmp_path / "17.json", labelme(*shapes))
    return tmp_path


def words(folder, *options):
    return ("outline", folder / "17.json", "--film", folder / "17.png", *options)


def test_outline_becomes_a_mask_and_the_inside_is_reported(folder):
    run = gdshare(*words(folder, "--organ", "stomach", "--out", folder / "m.png"))
    assert run.status == 0
    assert "inside  17.14% of 56 x 40 px" in run.out
    assert (np.asarray(Image.open(folder / "m.png")) == 255).sum() == 24 * 16


def test_result_is_available_as_json(folder):
    options = ("--organ", "stomach", "--out", folder / "m.geojson", "--json")
    assert json.loads(gdshare(*words(folder, *options)).out) == {
        "out": str(folder / "m.geojson"),
        "organ": "stomach",
        "size": [56, 40],
        "inside": 24 * 16 / (56 * 40),
    }


def test_organ_must_be_named_among_several(folder):
    run = gdshare(*words(folder, "--out", folder / "m.png"))
    assert run.status == 2
    assert "17.json: has several labels: 'stomach', 'liver'; choose" in run.err
    assert not (folder / "m.png").exists()


def test_existing_file_is_not_overwritten(folder):
    write_outline(rings_mask(), folder / "m.png")
    before = (folder / "m.png").read_bytes()
    run = gdshare(*words(folder, "--organ", "liver", "--out", folder / "m.png"))
    assert run.status == 2
    assert "m.png: already exists; choose another --out" in run.err
    assert (folder / "m.png").read_bytes() == before


def test_unknown_suffix_is_refused_before_anything_is_read(folder):
    run = gdshare("outline", "none.json", "--film", "none.png", "--out", "m.jpg")
    assert run.status == 2
    assert "--out m.jpg: has no known suffix; end it in .png or .geojson" in run.err


def test_values_of_the_organ_are_chosen(folder):
    labels = np.zeros(SHAPE, np.uint8)
    labels[:10], labels[10:14] = 1, 2
    Image.fromarray(labels).save(folder / "classes.png")
    words = ("outline", folder / "classes.png", "--film", folder / "17.png", "--out")
    refused = gdshare(*words, folder / "m.png")
    assert refused.status == 2
    assert "has 3 values, not two: 0 (65.00%), 1 (25.00%), 2 (10.00%)" in refused.err
    gdshare(*words, folder / "one.png", "--inside", 2, check=True)
    gdshare(*words, folder / "both.png", "--inside", 1, "--inside", 2, check=True)
    np.testing.assert_array_equal(Image.open(folder / "one.png"), (labels == 2) * 255)
    np.testing.assert_array_equal(Image.open(folder / "both.png"), (labels > 0) * 255)


def test_image_is_named_where_the_tool_renamed_the_film(folder):
    file = coco([[6, 4, 30, 4, 30, 20, 6, 20]], film="0001.png")
    words = ("outline", write(folder / "all.json", file), "--film", folder / "17.png", "--out")
    refused = gdshare(*words, folder / "m.png")
    assert refused.status == 2
    assert "only of '16.png', '0001.png'" in refused.err
    assert "with gdshare outline --image NAME" in refused.err
    run = gdshare(*words, folder / "m.png", "--image", "0001.png", check=True)
    assert "inside  17.14%" in run.out


@pytest.mark.parametrize(
    ("option", "value", "file"),
    [
        ("--image", "17.png", "mask.png"),
        ("--inside", "1", "17.json"),
        ("--inside", "x", "mask.png"),
    ],
)
def test_option_that_does_not_suit_the_file_is_refused(folder, option, value, file):
    write_outline(rings_mask(), folder / "mask.png")
    words = ("outline", folder / file, "--film", folder / "17.png", "--out", folder / "m.png")
    run = gdshare(*words, "--organ", "stomach", option, value)
    assert run.status == 2
    assert option.strip("-") in run.err
    assert not (folder / "m.png").exists()


def test_film_turned_by_exif_fits_the_outline_that_was_drawn_on_it(folder):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(np.zeros(SHAPE[::-1], np.uint8)).save(folder / "17.png", exif=exif)
    gdshare(*words(folder, "--organ", "stomach", "--out", folder / "m.png"), check=True)
    np.testing.assert_array_equal(Image.open(folder / "m.png"), filled(6, 4, 30, 20) * 255)


def test_film_that_uses_little_of_the_range_is_warned_about(folder):
    ramp = np.linspace(0, 4095, SHAPE[0] * SHAPE[1]).reshape(SHAPE)
    options = ("--organ", "stomach", "--out")
    Image.fromarray(ramp.astype(np.uint16)).save(folder / "17.png")
    dark = gdshare(*words(folder, *options, folder / "dark.png"), check=True)
    assert "17.png uses 6.1% of the range from black to white" in dark.err
    Image.fromarray((ramp * 16).astype(np.uint16)).save(folder / "17.png")
    bright = gdshare(*words(folder, *options, folder / "bright.png"), check=True)
    assert "warning" not in bright.err


def test_dicom_film_without_preamble_is_read(folder):
    path = save(radiograph(gradient(rows=SHAPE[0], columns=SHAPE[1])), folder / "17.dcm")
    path.write_bytes(path.read_bytes()[132:])
    options = ("--film", path, "--organ", "stomach", "--out", folder / "m.png")
    gdshare("outline", folder / "17.json", *options, check=True)
    np.testing.assert_array_equal(Image.open(folder / "m.png"), filled(6, 4, 30, 20) * 255)
