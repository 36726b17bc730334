import numpy as np
import pytest
from outline_kit import FILM, SHAPE, closed, collection, feature, filled, rings_mask, square, write

from gdshare.errors import FilmError
from gdshare.films.outlines import read_annotations, read_outline

OUTER, HOLE, LOWER = square(6, 4, 30, 20), square(12, 9, 22, 14), square(40, 30, 56, 40)
WITH_HOLE = [closed(OUTER), closed(HOLE[::-1])]


def read(tmp_path, value, organ=None):
    return read_outline(write(tmp_path / "17.geojson", value), SHAPE, FILM, organ)


def test_holes_and_parts_of_a_multipolygon_are_read(tmp_path):
    value = collection(feature("MultiPolygon", [WITH_HOLE, [closed(LOWER)]]))
    np.testing.assert_array_equal(read(tmp_path, value), rings_mask())


@pytest.mark.parametrize("form", [collection, lambda *features: list(features)])
def test_features_come_in_a_collection_or_a_list(tmp_path, form):
    value = form(feature("Polygon", WITH_HOLE), feature("Polygon", [closed(LOWER)]))
    np.testing.assert_array_equal(read(tmp_path, value), rings_mask())


def test_single_feature_is_read(tmp_path):
    value = feature("Polygon", [closed(OUTER)])
    np.testing.assert_array_equal(read(tmp_path, value), filled(6, 4, 30, 20))


def test_feature_of_qupath_0_2_is_read(tmp_path):
    value = feature("Polygon", [closed(OUTER)])
    value["id"] = "PathAnnotationObject"
    value["properties"] = {
        "classification": {"name": "stomach", "colorRGB": -65536},
        "measurements": [],
    }
    assert read(tmp_path, [value], "stomach").any()


def test_label_of_an_unclassified_annotation_is_its_name(tmp_path):
    named = feature("Polygon", [closed(OUTER)], name=None)
    named["properties"]["name"] = "stomach"
    assert read(tmp_path, collection(named), "stomach").any()


def test_derived_class_is_labelled_as_qupath_displays_it(tmp_path):
    value = feature("Polygon", [closed(OUTER)])
    value["properties"]["classification"] = {"names": ["stomach", "body"], "color": [1, 2, 3]}
    outline = read_annotations(write(tmp_path / "a.geojson", value)).outline(SHAPE, FILM, None)
    assert outline.name == "stomach: body"


def test_annotation_without_a_name_is_read_if_it_is_the_only_one(tmp_path):
    nameless = feature("Polygon", [closed(OUTER)], name=None)
    assert read(tmp_path, collection(nameless)).any()
    with pytest.raises(FilmError, match=r"several labels: \(no name\), 'liver'; choose"):
        read(tmp_path, collection(nameless, feature("Polygon", [closed(LOWER)], "liver")))


def test_altitude_of_a_position_is_ignored(tmp_path):
    value = feature("Polygon", [[[*position, 0] for position in closed(OUTER)]])
    np.testing.assert_array_equal(read(tmp_path, value), filled(6, 4, 30, 20))


@pytest.mark.parametrize("kind", ["Point", "LineString", "MultiPoint", "GeometryCollection"])
def test_geometry_that_encloses_nothing_is_named(tmp_path, kind):
    with pytest.raises(FilmError, match=f"'stomach' with a '{kind}'"):
        read(tmp_path, feature(kind, [[1, 1], [2, 2]]))


def test_slip_of_the_hand_beyond_the_films_edge_is_accepted(tmp_path):
    mask = read(tmp_path, feature("Polygon", [closed(square(-1, -1, 20, 41))]))
    np.testing.assert_array_equal(mask, filled(0, 0, 20, 40))


@pytest.mark.parametrize(
    "outline", [square(6, 4, 60, 20), square(-9, 4, 30, 20), square(99, 99, 120, 120)]
)
def test_outline_of_a_larger_film_is_refused(tmp_path, outline):
    with pytest.raises(
        FilmError, match=r"17\.geojson: the outline reaches beyond its film of 56 x"
    ):
        read(tmp_path, feature("Polygon", [closed(outline)]))


@pytest.mark.parametrize("value", [[], collection()])
def test_file_without_features_is_refused_like_an_empty_mask(tmp_path, value):
    with pytest.raises(FilmError, match="marks no pixel as inside the organ"):
        read(tmp_path, value)


@pytest.mark.parametrize(
    "coordinates",
    [
        None,
        3,
        [[1, 2], [3, 4]],
        [[[1, 2], [3]]],
        [[[1, 2, 3, 4]]],
        [[[1, "2"]]],
        [[[1, None]]],
        [[[float("nan"), 2], [3, 4], [5, 6]]],
        [[[float("inf"), 2], [3, 4], [5, 6]]],
        [[[10**400, 2], [3, 4], [5, 6]]],
        [[[1e10, 2], [3, 4], [5, 6]]],
    ],
)
def test_malformed_coordinates_are_refused(tmp_path, coordinates):
    with pytest.raises(FilmError, match=r"17\.geojson: features\.0 is not as its tool writes it"):
        read(tmp_path, collection(feature("Polygon", coordinates)))


@pytest.mark.parametrize(
    "value",
    [
        {"type": "FeatureCollection"},
        {"type": "FeatureCollection", "features": {}},
        {"type": "FeatureCollection", "features": [{"type": "Polygon"}]},
        {"type": "Feature", "geometry": []},
        {"type": "Feature", "geometry": None, "properties": {"classification": "stomach"}},
    ],
)
def test_malformed_features_are_refused(tmp_path, value):
    with pytest.raises(FilmError, match="not as its tool writes it"):
        read(tmp_path, value)
