import numpy as np
import pytest
from outline_kit import (
    FILM,
    SHAPE,
    cvat,
    cvat_mask,
    cvat_polygon,
    filled,
    rings_mask,
    square,
    write,
)

from gdshare.errors import FilmError
from gdshare.films.outlines import read_outline

BOX = cvat_polygon(square(6, 4, 30, 20))


def read(tmp_path, *elements, organ=None, **file):
    return read_outline(
        write(tmp_path / "annotations.xml", cvat(*elements, **file)), SHAPE, FILM, organ
    )


def test_polygons_of_one_label_are_united(tmp_path):
    mask = read(tmp_path, BOX, cvat_polygon(square(40, 30, 56, 40)))
    np.testing.assert_array_equal(mask, filled(6, 4, 30, 20) | filled(40, 30, 56, 40))


def test_mask_is_decoded_along_rows_with_holes(tmp_path):
    np.testing.assert_array_equal(read(tmp_path, cvat_mask(rings_mask())), rings_mask())


def test_box_is_read(tmp_path):
    element = (
        '<box label="stomach" source="manual" occluded="0" xtl="6.00" ytl="4.00" xbr="30.00" '
        'ybr="20.00" z_order="0"></box>'
    )
    np.testing.assert_array_equal(read(tmp_path, element), filled(6, 4, 30, 20))


def test_rotated_box_is_rotated_about_its_centre(tmp_path):
    element = (
        '<box label="stomach" source="manual" occluded="0" xtl="6.00" ytl="16.00" xbr="30.00" '
        'ybr="20.00" rotation="90.00" z_order="0"></box>'
    )
    np.testing.assert_array_equal(read(tmp_path, element), filled(16, 6, 20, 30))


def test_ellipse_is_read(tmp_path):
    element = (
        '<ellipse label="stomach" source="manual" occluded="0" cx="28.00" cy="20.00" rx="20.00" '
        'ry="10.00" z_order="0"></ellipse>'
    )
    assert read(tmp_path, element).sum() == pytest.approx(np.pi * 200, rel=0.02)


def test_image_is_found_by_its_file_name(tmp_path):
    more = f'<image id="1" name="st-mary/18.png" width="9" height="9">{BOX}</image>'
    assert read(tmp_path, BOX, more=more).any()
    with pytest.raises(FilmError, match=r"only of 'st-mary/18\.png'"):
        read(tmp_path, BOX, film="st-mary/18.png")


def test_subset_distinguishes_images_of_the_same_name_in_a_project(tmp_path):
    more = f'<image id="0" name="17.png" subset="Test" width="56" height="40">{BOX}</image>'
    path = write(tmp_path / "a.xml", cvat(film="17.png", more=more))
    assert read_outline(path, SHAPE, "Test/17.png").any()


def test_tags_and_foreign_elements_are_ignored(tmp_path):
    tag = '<tag label="blurred" source="manual"></tag><flag/>'
    assert read(tmp_path, tag, BOX).any()


@pytest.mark.parametrize("kind", ["polyline", "points", "cuboid", "skeleton"])
def test_shape_that_encloses_nothing_is_named(tmp_path, kind):
    with pytest.raises(FilmError, match=f"'stomach' with a '{kind}'"):
        read(tmp_path, f'<{kind} label="stomach" points="1,1;2,2"></{kind}>')


@pytest.mark.parametrize(
    ("element", "why"),
    [
        ('<polygon points="1,1;2,2;3,1"/>', "label"),
        ('<polygon label="stomach"/>', "points"),
        ('<polygon label="stomach" points=""/>', "x,y;x,y"),
        ('<polygon label="stomach" points="1,1;2;3,1"/>', "x,y;x,y"),
        ('<polygon label="stomach" points="1,1;a,2;3,1"/>', "x,y;x,y"),
        ('<polygon label="stomach" points="1,1;nan,2;3,1"/>', "not a position on a film"),
        ('<polygon label="stomach" points="1,1;1e999,2;3,1"/>', "not a position on a film"),
        ('<box label="stomach" xtl="1" ytl="1" xbr="inf" ybr="4"/>', "xbr"),
        ('<box label="stomach" xtl="1" ytl="1" xbr="4"/>', "ybr"),
        ('<mask label="stomach" rle="4" left="55" top="0" width="2" height="2"/>', "beyond"),
        ('<mask label="stomach" rle="4" left="-1" top="0" width="2" height="2"/>', "left"),
        ('<mask label="stomach" rle="4" left="1" top="0" width="0" height="2"/>', "width"),
        ('<mask label="stomach" rle="5" left="1" top="0" width="2" height="2"/>', "do not fill"),
        ('<mask label="stomach" rle="x" left="1" top="0" width="2" height="2"/>', "whole numbers"),
        (
            f'<mask label="stomach" rle="{"9" * 5000}" left="1" top="0" width="2" height="2"/>',
            "who",
        ),
        (f'<mask label="stomach" rle="{"9" * 50}" left="1" top="0" width="2" height="2"/>', "who"),
    ],
)
def test_malformed_shape_is_refused(tmp_path, element, why):
    with pytest.raises(FilmError, match=why):
        read(tmp_path, element)


def test_entity_bomb_is_refused_unexpanded(tmp_path):
    bomb = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 12))
    head = f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY e0 "lol">{bomb}]>'
    with pytest.raises(FilmError, match="document type or entities"):
        read_outline(
            write(tmp_path / "a.xml", head + "<annotations>&e11;</annotations>"), SHAPE, FILM
        )


def test_external_entity_cannot_read_a_local_file(tmp_path):
    head = '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    with pytest.raises(FilmError, match="document type or entities"):
        read_outline(
            write(tmp_path / "a.xml", head + "<annotations>&e;</annotations>"), SHAPE, FILM
        )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<annotations><image>", "not readable XML"),
        ("<annotations>&undefined;</annotations>", "not readable XML"),
        ("<svg/>", "not CVAT's"),
        ("<annotations><track id='0'/></annotations>", "CVAT for images 1.1"),
        ("<annotations><image name='17.png' width='9'/></annotations>", "height"),
        ("<annotations><image name='17.png' width='-9' height='9'/></annotations>", "width"),
        ("<a>" * 200_000, "not readable XML"),
        (b"<annotations>\xff</annotations>", "not readable XML"),
    ],
)
def test_malformed_file_is_refused(tmp_path, text, why):
    with pytest.raises(FilmError, match=why):
        read_outline(write(tmp_path / "a.xml", text), SHAPE, FILM)


def test_deep_nesting_is_parsed_and_ignored(tmp_path):
    depth = 200_000
    text = "<annotations>" + "<a>" * depth + "</a>" * depth + "</annotations>"
    with pytest.raises(FilmError, match="has no image"):
        read_outline(write(tmp_path / "a.xml", text), SHAPE, FILM)


def test_file_of_millions_of_elements_is_refused_unparsed(tmp_path):
    text = b"<annotations>" + b"<a/>" * 10_000_001
    with pytest.raises(FilmError, match="fewer films"):
        read_outline(write(tmp_path / "a.xml", text), SHAPE, FILM)


def test_byte_order_mark_is_ignored(tmp_path):
    path = write(tmp_path / "a.xml", b"\xef\xbb\xbf" + cvat(BOX).encode())
    assert read_outline(path, SHAPE, FILM).any()
