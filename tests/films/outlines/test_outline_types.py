"""JSON with a value of the wrong type in any place gives a mask or a ``FilmError``."""

import json

import numpy as np
import pytest
from outline_kit import (
    FILM,
    SHAPE,
    closed,
    coco,
    collection,
    feature,
    filled,
    labelme,
    labelme_mask,
    plain_rle,
    rings_mask,
    square,
)
from pycocotools import mask as pycoco

from gdshare.errors import FilmError
from gdshare.films.outlines import read_outline

BOX = square(6, 4, 30, 20)
VALUES = (None, True, 10**30, float("nan"), "17.png", [[]], {"type": "Polygon"})
"""Values that replace a field's own."""


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


def refusal(path, data):
    """Why the file is refused; None if it gives a valid mask."""
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


@pytest.mark.parametrize("form", ["labelme", "coco", "geojson"])
def test_every_field_of_another_type_is_read_or_refused(tmp_path, form):
    for number in range(_count(_json(form))):
        for value in VALUES:
            changed, _ = _replaced(_json(form), number, value)
            read_or_refused(tmp_path / "changed", json.dumps(changed).encode())


def _count(value):
    return -_replaced(value, 10**9, None)[1] + 10**9


def _replaced(value, number, by):
    """Replace value ``number``, counted depth first, with ``by``; return also the rest to count."""
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
