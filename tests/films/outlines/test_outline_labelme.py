import base64
import io
import math

import numpy as np
import pytest
from outline_kit import FILM, SHAPE, filled, labelme, labelme_mask, rings_mask, square, write
from PIL import Image

from gdshare.errors import FilmError
from gdshare.films.outlines import read_outline


def read(tmp_path, *shapes, organ=None, **file):
    path = write(tmp_path / "17.json", labelme(*shapes, **file))
    return read_outline(path, SHAPE, FILM, organ)


def test_polygon_is_read(tmp_path):
    mask = read(tmp_path, {"points": square(6, 4, 30, 20)})
    np.testing.assert_array_equal(mask, filled(6, 4, 30, 20))


@pytest.mark.parametrize(
    "shape",
    [
        {"shape_type": "rectangle", "points": [[6, 4], [30, 20]]},
        {"shape_type": "rectangle", "points": [[30, 4.0], [6, 20]]},
        {"shape_type": "rectangle", "points": square(6, 4, 30, 20)},
        {"shape_type": "oriented_rectangle", "points": square(6, 4, 30, 20)},
        {"shape_type": None, "points": square(6, 4, 30, 20)},
    ],
)
def test_other_ways_to_draw_a_box_are_read(tmp_path, shape):
    np.testing.assert_array_equal(read(tmp_path, shape), filled(6, 4, 30, 20))


def test_circle_is_given_by_its_centre_and_a_point_on_it(tmp_path):
    mask = read(tmp_path, {"shape_type": "circle", "points": [[20, 20], [28, 26]]})
    assert mask.sum() == pytest.approx(math.pi * 100, rel=0.02)
    assert mask[20, 29]
    assert not mask[20, 31]


def test_mask_lies_between_its_corner_pixels(tmp_path):
    np.testing.assert_array_equal(read(tmp_path, labelme_mask(rings_mask())), rings_mask())


def test_mask_with_fractional_corners_is_placed_to_the_nearest_pixel(tmp_path):
    shape = labelme_mask(filled(6, 4, 30, 20))
    shape["points"] = [[6.4, 3.6], [28.9, 19.3]]
    np.testing.assert_array_equal(read(tmp_path, shape), filled(6, 4, 30, 20))


def test_shapes_of_one_label_are_united(tmp_path):
    mask = read(tmp_path, {"points": square(1, 1, 5, 5)}, {"points": square(3, 3, 9, 9)})
    np.testing.assert_array_equal(mask, filled(1, 1, 5, 5) | filled(3, 3, 9, 9))


def test_file_of_another_film_is_refused(tmp_path):
    with pytest.raises(
        FilmError, match=r"17\.json: has no annotation of the film '17\.png', only of"
    ):
        read(tmp_path, {"points": square(1, 1, 5, 5)}, film="../films/18.png")


def test_file_without_the_films_size_is_refused(tmp_path):
    file = labelme({"points": square(1, 1, 5, 5)})
    file["imageHeight"] = None
    with pytest.raises(FilmError, match="imageHeight"):
        read_outline(write(tmp_path / "a.json", file), SHAPE, FILM)


@pytest.mark.parametrize("kind", ["line", "linestrip", "point", "points", "spline"])
def test_shape_that_encloses_nothing_is_named(tmp_path, kind):
    with pytest.raises(FilmError, match=f"'stomach' with a '{kind}', which encloses nothing"):
        read(tmp_path, {"shape_type": kind, "points": [[1, 1], [5, 5]]})


@pytest.mark.parametrize("kind", ["rectangle", "circle", "mask"])
def test_shape_of_the_wrong_number_of_points_is_refused(tmp_path, kind):
    with pytest.raises(FilmError, match="does not have 2 points"):
        read(tmp_path, {"shape_type": kind, "points": [[1, 1], [5, 5], [7, 7]]})


def encoded(image, form="PNG"):
    stream = io.BytesIO()
    image.save(stream, format=form)
    return base64.b64encode(stream.getvalue()).decode()


@pytest.mark.parametrize(
    ("mask", "why"),
    [
        (None, "picture of a mask shape is damaged"),
        ("not base64!", "has no picture"),
        (base64.b64encode(b"not a picture").decode(), "is damaged"),
        (encoded(Image.new("L", (4, 4)))[:40], "picture"),
        (encoded(Image.new("L", (4, 4)), "JPEG"), "is damaged"),
        (encoded(Image.new("RGB", (4, 4))), "is no mask"),
        (encoded(Image.new("L", (7, 4))), "its points differ in size"),
    ],
)
def test_malformed_mask_is_refused(tmp_path, mask, why):
    with pytest.raises(FilmError, match=why):
        read(tmp_path, {"shape_type": "mask", "points": [[1, 1], [4, 4]], "mask": mask})


def test_mask_larger_than_its_film_is_refused_before_it_is_decoded(tmp_path):
    picture = encoded(Image.new("1", (10_000, 11_000)))
    points = [[0, 0], [9_999, 10_999]]
    with pytest.raises(FilmError, match="larger than its film"):
        read(tmp_path, {"shape_type": "mask", "points": points, "mask": picture})


def test_mask_of_absurd_size_is_refused_before_it_is_decoded(tmp_path):
    picture = encoded(Image.new("1", (12_000, 11_000)))
    with pytest.raises(FilmError, match="is no mask"):
        read(tmp_path, {"shape_type": "mask", "points": [[1, 1], [4, 4]], "mask": picture})
