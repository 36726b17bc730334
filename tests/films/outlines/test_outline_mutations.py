"""Files of every format with bytes changed, or cut short, give a mask or a ``FilmError``."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outline_kit import (
    FILM,
    SHAPE,
    closed,
    coco,
    collection,
    cvat,
    cvat_mask,
    cvat_polygon,
    feature,
    filled,
    labelme,
    labelme_mask,
    plain_rle,
    rings_mask,
    square,
)
from PIL import Image
from pycocotools import mask as pycoco
from seg_kit import segmentation

from gdshare.errors import FilmError
from gdshare.films.outlines import read_outline

BOX = square(6, 4, 30, 20)
VALUES = (None, True, 10**30, float("nan"), "17.png", [[]], {"type": "Polygon"})
"""What a field may hold in place of what the tool wrote."""


def _compact(mask):
    value = pycoco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {**value, "counts": value["counts"].decode("ascii")}


def _json(name):
    return {
        "labelme": labelme({"points": BOX}, labelme_mask(rings_mask())),
        "coco": coco(
            [[6, 4, 30, 4, 30, 20]], plain_rle(filled(9, 0, 12, 40)), _compact(rings_mask())
        ),
        "geojson": collection(
            feature("MultiPolygon", [[closed(BOX)]]), feature("Point", [1, 2], "mark")
        ),
    }[name]


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    planes = np.stack([rings_mask(), ~rings_mask()], axis=2).astype(np.uint8)
    segmentation(folder / "seg", planes, labels=("stomach", "liver"))
    Image.fromarray(rings_mask()).save(folder / "png", format="PNG")
    (folder / "cvat").write_text(cvat(cvat_polygon(BOX), cvat_mask(rings_mask())))
    for name in ("labelme", "coco", "geojson"):
        (folder / name).write_text(json.dumps(_json(name)))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refusal(path, data):
    """Return why the file is refused; None when it gives a sound mask."""
    path.write_bytes(data)
    try:
        mask = read_outline(path, SHAPE, FILM, "stomach")
    except FilmError as error:
        return str(error)
    assert (mask.shape, mask.dtype) == (SHAPE, bool)
    assert mask.any()
    return None


def read_or_refused(path, data):
    why = refusal(path, data)
    assert why is None or (why.startswith(f"{path}: ") and len(why) < 1000)


@pytest.mark.parametrize("form", ["labelme", "coco", "geojson", "cvat", "seg", "png"])
def test_original_is_read(originals, tmp_path, form):
    assert refusal(tmp_path / form, originals[form]) is None


@pytest.mark.parametrize("form", ["labelme", "coco", "geojson", "cvat", "seg", "png"])
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    keep=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_mutated_file_is_read_or_refused_and_nothing_else(originals, tmp_path, form, flips, keep):
    data = bytearray(originals[form])
    for place, value in flips:
        data[int(place * len(data))] = value
    read_or_refused(tmp_path / "mutated", bytes(data[: int(len(data) * keep)]))


@pytest.mark.parametrize("form", ["labelme", "coco", "geojson"])
def test_every_field_of_another_type_is_read_or_refused(tmp_path, form):
    for number in range(_count(_json(form))):
        for value in VALUES:
            changed, _ = _replaced(_json(form), number, value)
            read_or_refused(tmp_path / "changed", json.dumps(changed).encode())


def _count(value):
    return -_replaced(value, 10**9, None)[1] + 10**9


def _replaced(value, number, by):
    """Put ``by`` for the value of that number, counted depth first; return what number is left."""
    if number == 0:
        return by, -1
    number -= 1
    if isinstance(value, dict):
        value = dict(value)
        for key, inner in value.items():
            if number >= 0:
                value[key], number = _replaced(inner, number, by)
    elif isinstance(value, list):
        value = list(value)
        for index, inner in enumerate(value):
            if number >= 0:
                value[index], number = _replaced(inner, number, by)
    return value, number
