"""A fault of one film's annotations is named with its place, and leaves the other films alone."""

import re

import numpy as np
import pytest
from outline_kit import SHAPE, coco, cvat, cvat_polygon, filled, labelme, square, write

from gdshare.errors import FilmError
from gdshare.films.outlines import read_annotations

BOX = [6, 4, 30, 4, 30, 20, 6, 20]
SOUND = filled(6, 4, 30, 20)
HEIGHT, WIDTH = SHAPE


def two_films(segmentation, **fields):
    """COCO of 17.png, which is sound, and of bad.png, whose annotation has the id 77."""
    file = coco([BOX])
    bad = {"id": 3, "width": WIDTH, "height": HEIGHT, "file_name": "bad.png"}
    file["images"].append(bad)
    last = {**file["annotations"][0], "id": 77, "image_id": 3, "segmentation": segmentation}
    file["annotations"].append(last | fields)
    return file


def refusal(annotations, film, organ=None):
    with pytest.raises(FilmError) as caught:
        annotations.outline(SHAPE, film, organ)
    return str(caught.value)


@pytest.mark.parametrize(
    ("segmentation", "why"),
    [
        ({"size": [40, 56], "counts": [40 * 55]}, "run lengths do not fill their 56 x 40 px"),
        ({"size": [40, 56], "counts": "PPPP"}, "compact run lengths end within a run"),
        ({"size": [40, 57], "counts": [40 * 57]}, "the run lengths are for 57 x 40 px"),
        ([[1, 2, 3]], "a polygon has an x without a y"),
        ([[1, 2, "3", 4, 5, 6]], "is not as its tool writes it"),
    ],
)
def test_bad_coco_annotation_stops_only_its_film_and_is_named(tmp_path, segmentation, why):
    annotations = read_annotations(write(tmp_path / "all.json", two_films(segmentation)))
    np.testing.assert_array_equal(annotations.outline(SHAPE, "17.png", None).inside, SOUND)
    message = refusal(annotations, "bad.png")
    assert "all.json: image 'bad.png': annotations.1 (id 77)" in message
    assert why in message


def test_coco_annotation_of_an_unknown_category_stops_only_its_film(tmp_path):
    annotations = read_annotations(write(tmp_path / "all.json", two_films([BOX], category_id=9)))
    np.testing.assert_array_equal(annotations.outline(SHAPE, "17.png", None).inside, SOUND)
    message = refusal(annotations, "bad.png")
    assert "image 'bad.png': annotations.1 (id 77): refers to a category" in message


def test_fault_of_another_organ_does_not_stop_the_organ(tmp_path):
    file = coco([BOX], [[1, 2, 3]])
    file["annotations"][1]["category_id"] = 2
    annotations = read_annotations(write(tmp_path / "all.json", file))
    np.testing.assert_array_equal(annotations.outline(SHAPE, "17.png", "stomach").inside, SOUND)
    assert "annotations.1 (id 2): a polygon has an x" in refusal(annotations, "17.png", "liver")


def test_unreadable_coco_image_stops_only_itself(tmp_path):
    file = two_films([BOX])
    file["images"][2]["width"] = "wide"
    annotations = read_annotations(write(tmp_path / "all.json", file))
    np.testing.assert_array_equal(annotations.outline(SHAPE, "17.png", None).inside, SOUND)
    message = refusal(annotations, "bad.png")
    assert "image 'bad.png': images.2 (id 3) is not as its tool writes it (width" in message


BAD_MASK = '<mask label="stomach" rle="5, 6" left="0" top="0" width="4" height="4"></mask>'
BAD_POLYGON = '<polygon label="stomach" points="1,2;x,3;4,5"></polygon>'
BAD_BOX = '<box label="stomach" xtl="1" ytl="2" xbr="3"></box>'


@pytest.mark.parametrize("element", [BAD_MASK, BAD_POLYGON, BAD_BOX])
def test_bad_cvat_shape_stops_only_its_film_and_is_named_with_its_line(tmp_path, element):
    bad = f'\n  <image id="1" name="bad.png" width="56" height="40">\n    {element}\n  </image>'
    text = cvat(cvat_polygon(square(6, 4, 30, 20)), more=bad)
    annotations = read_annotations(write(tmp_path / "all.xml", text))
    np.testing.assert_array_equal(annotations.outline(SHAPE, "17.png", None).inside, SOUND)
    line = next(n for n, row in enumerate(text.splitlines(), start=1) if element in row)
    kind = re.match(r"<(\w+)", element)[1]
    message = refusal(annotations, "bad.png")
    assert f"all.xml: image 'bad.png', {kind} 'stomach' on line {line}" in message


def test_unreadable_cvat_image_stops_only_itself(tmp_path):
    bad = '\n  <image id="1" name="bad.png" width="wide" height="40">\n  </image>'
    text = cvat(cvat_polygon(square(6, 4, 30, 20)), more=bad)
    annotations = read_annotations(write(tmp_path / "all.xml", text))
    np.testing.assert_array_equal(annotations.outline(SHAPE, "17.png", None).inside, SOUND)
    line = next(n for n, row in enumerate(text.splitlines(), start=1) if "bad.png" in row)
    assert f"image 'bad.png', line {line}" in refusal(annotations, "bad.png")


def test_bad_labelme_shape_is_named_and_stops_only_its_organ(tmp_path):
    sound = {"points": square(6, 4, 30, 20)}
    bad = {"points": [[1, 2]], "shape_type": "circle", "label": "liver"}
    annotations = read_annotations(write(tmp_path / "17.json", labelme(sound, bad)))
    np.testing.assert_array_equal(annotations.outline(SHAPE, "17.png", "stomach").inside, SOUND)
    message = refusal(annotations, "17.png", "liver")
    assert "17.json: shapes.1 ('liver'): the circle does not have 2 points" in message
