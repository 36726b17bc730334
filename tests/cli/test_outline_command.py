import json

import numpy as np
import pytest
from command_kit import gdshare
from outline_kit import SHAPE, labelme, rings_mask, square, write
from PIL import Image

from gdshare.films.outlines import write_outline


@pytest.fixture
def folder(tmp_path):
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(tmp_path / "17.png")
    shapes = ({"points": square(6, 4, 30, 20)}, {"points": square(0, 0, 9, 9), "label": "liver"})
    write(tmp_path / "17.json", labelme(*shapes))
    return tmp_path


def words(folder, *more):
    return ("outline", folder / "17.json", "--film", folder / "17.png", *more)


def test_outline_becomes_a_mask_and_says_how_much_is_inside(folder):
    status, out, _ = gdshare(*words(folder, "--organ", "stomach", "--out", folder / "m.png"))
    assert status == 0
    assert "inside  17.14% of 56 x 40 px" in out
    assert (np.asarray(Image.open(folder / "m.png")) == 255).sum() == 24 * 16


def test_result_comes_as_json(folder):
    more = ("--organ", "stomach", "--out", folder / "m.geojson", "--json")
    found = json.loads(gdshare(*words(folder, *more))[1])
    assert found == {
        "out": str(folder / "m.geojson"),
        "organ": "stomach",
        "size": [56, 40],
        "inside": 24 * 16 / (56 * 40),
    }


def test_organ_must_be_named_among_several(folder):
    status, _, err = gdshare(*words(folder, "--out", folder / "m.png"))
    assert status == 2
    assert "17.json: holds several names: 'stomach', 'liver'; say which" in err
    assert not (folder / "m.png").exists()


def test_what_is_there_already_is_not_overwritten(folder):
    write_outline(rings_mask(), folder / "m.png")
    before = (folder / "m.png").read_bytes()
    status, _, err = gdshare(*words(folder, "--organ", "liver", "--out", folder / "m.png"))
    assert status == 2
    assert "m.png: already exists; choose another --out" in err
    assert (folder / "m.png").read_bytes() == before


def test_suffix_that_names_no_format_is_refused_before_anything_is_read(folder):
    status, _, err = gdshare("outline", "none.json", "--film", "none.png", "--out", "m.jpg")
    assert status == 2
    assert "--out m.jpg: end it in .png or .geojson" in err
