import numpy as np
import pytest
from outline_kit import FILM, SHAPE, coco, filled, plain_rle, rings_mask, write
from pycocotools import mask as pycoco

from gdshare.errors import FilmError
from gdshare.films.outlines import read_annotations, read_outline

BOX = [6, 4, 30, 4, 30, 20, 6, 20]


def read(tmp_path, *segmentations, organ=None, **file):
    path = write(tmp_path / "instances.json", coco(*segmentations, **file))
    return read_outline(path, SHAPE, FILM, organ)


def test_polygons_of_an_annotation_are_united(tmp_path):
    mask = read(tmp_path, [BOX, [40.0, 30.0, 56.0, 30.0, 56.0, 40.0, 40.0, 40.0]])
    np.testing.assert_array_equal(mask, filled(6, 4, 30, 20) | filled(40, 30, 56, 40))


def test_plain_run_lengths_are_read_with_holes(tmp_path):
    np.testing.assert_array_equal(read(tmp_path, plain_rle(rings_mask())), rings_mask())


def test_compact_run_lengths_are_read_with_holes(tmp_path):
    compact = pycoco.encode(np.asfortranarray(rings_mask().astype(np.uint8)))
    compact["counts"] = compact["counts"].decode("ascii")
    np.testing.assert_array_equal(read(tmp_path, compact), rings_mask())


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_whole_boxes_are_filled_as_pycocotools_fills_them(tmp_path):
    theirs = pycoco.decode(pycoco.frPyObjects([BOX], *SHAPE)).any(axis=2)
    np.testing.assert_array_equal(read(tmp_path, [BOX]), theirs)


def test_one_file_serves_many_films(tmp_path):
    file = coco([BOX], film="a/17.png")
    file["images"].append({**file["images"][1], "id": 3, "file_name": "b/17.png"})
    file["annotations"].append(
        {**file["annotations"][0], "image_id": 3, "segmentation": [[0, 0, 9, 0, 9, 9]]}
    )
    annotations = read_annotations(write(tmp_path / "all.json", file))
    assert annotations.outline(SHAPE, "x/a/17.png", None).inside.sum() == 24 * 16
    assert annotations.outline(SHAPE, "x/b/17.png", None).inside.sum() < 81
    with pytest.raises(FilmError, match=r"several films that may be '17\.png': 'a/17\.png', 'b/"):
        annotations.outline(SHAPE, "17.png", None)


def test_organ_is_chosen_by_the_categorys_name(tmp_path):
    assert read(tmp_path, [BOX], organ="stomach").any()
    with pytest.raises(FilmError, match="no label 'liver' on this film, only 'stomach'"):
        read(tmp_path, [BOX], organ="liver")


def test_film_that_is_not_in_the_file_is_refused(tmp_path):
    path = write(tmp_path / "instances.json", coco([BOX], film="18.png"))
    with pytest.raises(
        FilmError, match=r"no annotation of the film '17\.png', only of '16\.png', '18"
    ):
        read_outline(path, SHAPE, FILM)


def test_film_without_annotations_is_refused_like_an_empty_mask(tmp_path):
    with pytest.raises(FilmError, match="marks no pixel as inside the organ"):
        read(tmp_path)


def test_bounding_box_alone_is_no_outline(tmp_path):
    with pytest.raises(FilmError, match="'stomach' with a 'bounding box'"):
        read(tmp_path, [])


@pytest.mark.parametrize(
    ("segmentation", "why"),
    [
        ([[1, 2, 3]], "an x without a y"),
        (
            [[1, 2, "3", 4]],
            r"image '17\.png': annotations\.0 \(id 1\) is not as its tool writes it",
        ),
        ([1, 2, 3, 4], "annotations.0"),
        ("outline", "annotations.0"),
        ([[1, 2, True, 4]], "annotations.0"),
        ([[1, 2, 10**400, 4]], "annotations.0"),
        (
            {"size": [40, 57], "counts": [40 * 57]},
            r"image '17\.png': annotations\.0.*57 x 40 px but the image is 56 x 40",
        ),
        ({"size": [40], "counts": [40 * 56]}, "size"),
        ({"size": [40, 56], "counts": [40 * 55]}, "do not fill"),
        ({"size": [40, 56], "counts": [-1, 40 * 56 + 1]}, "counts"),
        ({"size": [40, 56], "counts": [10**30]}, "counts"),
        ({"size": [40, 56], "counts": [1.5]}, "counts"),
        ({"size": [40, 56], "counts": "PPPP"}, "within a run"),
        ({"size": [40, 56]}, "counts"),
    ],
)
def test_malformed_segmentation_is_refused(tmp_path, segmentation, why):
    with pytest.raises(FilmError, match=why):
        read(tmp_path, segmentation)


@pytest.mark.parametrize("table", ["images", "categories"])
def test_repeated_id_is_refused(tmp_path, table):
    file = coco([BOX])
    file[table][0]["id"] = file[table][1]["id"]
    with pytest.raises(FilmError, match="repeats the id"):
        read_outline(write(tmp_path / "a.json", file), SHAPE, FILM)


@pytest.mark.parametrize("key", ["image_id", "category_id"])
def test_annotation_of_an_unknown_image_or_category_is_refused(tmp_path, key):
    file = coco([BOX])
    file["annotations"][0][key] = 99
    with pytest.raises(FilmError, match="not in the file"):
        read_outline(write(tmp_path / "a.json", file), SHAPE, FILM)


def test_film_of_another_size_is_refused(tmp_path):
    with pytest.raises(FilmError, match="drawn on 57 x 40 px but its film is 56 x 40"):
        read(tmp_path, [BOX], shape=(40, 57))
