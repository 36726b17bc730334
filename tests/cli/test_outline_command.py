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
