import json
import uuid

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from outline_kit import FILM, SHAPE, rings_mask
from PIL import Image

from gdshare.errors import FilmError, UsageError
from gdshare.films import read_mask
from gdshare.films.outlines import read_annotations, read_outline, write_outline


@pytest.mark.parametrize("suffix", [".png", ".geojson"])
def test_written_mask_reads_back_exactly(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    write_outline(rings_mask(), path, "stomach")
    np.testing.assert_array_equal(read_outline(path, SHAPE, FILM), rings_mask())


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    mask=arrays.arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))),
    suffix=st.sampled_from([".png", ".geojson"]),
)
def test_any_mask_that_is_not_empty_reads_back_exactly(tmp_path, mask, suffix):
    path = tmp_path / f"any{suffix}"
    write_outline(mask, path)
    if mask.any():
        np.testing.assert_array_equal(read_outline(path, mask.shape, FILM), mask)
    else:
        with pytest.raises(FilmError, match="marks no pixel"):
            read_outline(path, mask.shape, FILM)


def test_png_is_8_bit_gray_black_outside_and_white_inside(tmp_path):
    write_outline(rings_mask(), tmp_path / "out.PNG")
    image = Image.open(tmp_path / "out.PNG")
    assert (image.format, image.mode, image.size) == ("PNG", "L", (56, 40))
    np.testing.assert_array_equal(np.asarray(image), np.where(rings_mask(), 255, 0))
    np.testing.assert_array_equal(read_mask(tmp_path / "out.PNG", SHAPE), rings_mask())


def test_geojson_is_a_qupath_annotation(tmp_path):
    write_outline(rings_mask(), tmp_path / "out.geojson", "胃")
    value = json.loads((tmp_path / "out.geojson").read_text(encoding="utf-8"))
    (feature,) = value["features"]
    assert value["type"] == "FeatureCollection"
    assert feature["type"] == "Feature"
    assert uuid.UUID(feature["id"])
    assert feature["properties"] == {
        "objectType": "annotation",
        "classification": {"name": "胃", "color": [200, 0, 0]},
    }
    assert feature["geometry"] == {
        "type": "MultiPolygon",
        "coordinates": [
            [
                [[6, 4], [30, 4], [30, 20], [6, 20], [6, 4]],
                [[22, 9], [12, 9], [12, 14], [22, 14], [22, 9]],
            ],
            [[[40, 30], [56, 30], [56, 40], [40, 40], [40, 30]]],
        ],
    }
    assert read_annotations(tmp_path / "out.geojson").outline(SHAPE, FILM, None).name == "胃"


def test_outline_without_a_name_is_an_unclassified_annotation(tmp_path):
    mask = np.zeros(SHAPE, bool)
    mask[3, 5] = True
    write_outline(mask, tmp_path / "out.geojson")
    (feature,) = json.loads((tmp_path / "out.geojson").read_text(encoding="utf-8"))["features"]
    assert feature["properties"] == {"objectType": "annotation"}
    assert feature["geometry"]["type"] == "Polygon"


def test_same_outline_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_outline(rings_mask(), tmp_path / f"{name}.geojson", "stomach")
    assert (tmp_path / "a.geojson").read_bytes() == (tmp_path / "b.geojson").read_bytes()


def test_suffix_of_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"use \.png or \.geojson"):
        write_outline(rings_mask(), tmp_path / "out.jpg")
