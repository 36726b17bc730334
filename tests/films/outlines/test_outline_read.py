import json
import os

import numpy as np
import pytest
from outline_kit import FILM, SHAPE, coco, collection, filled, labelme, rings_mask, square, write
from PIL import Image

from gdshare.errors import FilmError
from gdshare.films import read_mask
from gdshare.films.outlines import json_text, read, read_annotations, read_outline

LABELME_SHAPE = {"points": square(6, 4, 30, 20)}


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_mask_image_is_read_with_or_without_an_organ(tmp_path, suffix):
    path = tmp_path / f"mask.{suffix}"
    Image.fromarray(rings_mask().astype(np.uint8) * 255).save(path)
    for organ in (None, "stomach"):
        np.testing.assert_array_equal(read_outline(path, SHAPE, FILM, organ), rings_mask())


def test_content_decides_the_format_not_the_suffix(tmp_path):
    path = write(tmp_path / "outline.png", labelme(LABELME_SHAPE))
    np.testing.assert_array_equal(read_outline(path, SHAPE, FILM), filled(6, 4, 30, 20))
    Image.fromarray(rings_mask()).save(tmp_path / "mask.json", format="PNG")
    np.testing.assert_array_equal(read_outline(tmp_path / "mask.json", SHAPE, FILM), rings_mask())


def test_byte_order_mark_and_white_space_are_ignored(tmp_path):
    data = b"\xef\xbb\xbf\r\n  " + json.dumps(labelme(LABELME_SHAPE)).encode()
    assert read_outline(write(tmp_path / "a.json", data), SHAPE, FILM).any()


def test_outline_has_the_files_label_of_the_organ(tmp_path):
    annotations = read_annotations(write(tmp_path / "a.json", labelme(LABELME_SHAPE)))
    assert annotations.outline(SHAPE, FILM, None).name == "stomach"


def test_empty_outline_is_refused_in_the_words_for_an_empty_mask(tmp_path):
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(FilmError) as of_mask:
        read_mask(tmp_path / "mask.png", SHAPE)
    thin = write(tmp_path / "a.json", labelme({"points": square(1.6, 1, 2.4, 9)}))
    with pytest.raises(FilmError) as of_outline:
        read_outline(thin, SHAPE, FILM)
    mask, outline = (str(error.value).split(" marks ")[1] for error in (of_mask, of_outline))
    assert mask == outline


def test_outline_wholly_outside_its_film_is_refused(tmp_path):
    outside = labelme({"points": square(60, 4, 80, 20)})
    with pytest.raises(FilmError, match=r"a\.json: the outline lies wholly outside its film"):
        read_outline(write(tmp_path / "a.json", outside), SHAPE, FILM)


def test_outline_of_another_size_is_refused_not_resized(tmp_path):
    larger = labelme(LABELME_SHAPE, shape=(80, 112))
    with pytest.raises(FilmError, match="drawn on 112 x 80 px but its film is 56 x 40"):
        read_outline(write(tmp_path / "a.json", larger), SHAPE, FILM)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not in a format that gdshare reads; give a mask in PNG"),
        (b"\xff\xd8\xff\xe0 a photograph", "not in a format"),
        (b"PK\x03\x04", "not in a format"),
        (b"stomach,1,2,3", "not in a format"),
        (b"{", "not readable JSON"),
        (b'{"shapes": \xff}', "not readable JSON"),
        (b'{"a": 1} {"a": 1}', "not readable JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not readable JSON"),
        (b'{"shapes": [], "shapes": []}', "the key 'shapes' is repeated"),
        (b"{}", "JSON, but of no tool"),
        (b"[1]", "JSON, but of no tool"),
        (b'{"type": "Topology"}', "JSON, but of no tool"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
    ],
)
def test_file_in_an_unknown_format_is_refused_by_name(tmp_path, content, why):
    with pytest.raises(FilmError, match=rf"notes\.json: .*{why}"):
        read_outline(write(tmp_path / "notes.json", content), SHAPE, FILM)


def test_missing_file_and_folder_are_refused_with_the_remedy(tmp_path):
    with pytest.raises(FilmError, match=r"No such file or directory\); check"):
        read_outline(tmp_path / "gone.json", SHAPE, FILM)
    with pytest.raises(FilmError, match="cannot be opened"):
        read_outline(tmp_path, SHAPE, FILM)


def test_file_that_is_too_large_is_refused_unparsed(tmp_path):
    path = tmp_path / "large.json"
    path.write_bytes(b"{")
    os.truncate(path, read.MAX_BYTES + 1)
    with pytest.raises(FilmError, match="larger than 256 MB"):
        read_outline(path, SHAPE, FILM)


def test_too_many_small_values_are_refused_before_they_take_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(json_text, "MAX_VALUES", 1000)
    path = write(tmp_path / "many.json", b"[" + b"[]," * 600 + b"[]]")
    with pytest.raises(FilmError, match=r"has about 1,202 values \(1,000 at most\)"):
        read_outline(path, SHAPE, FILM)


@pytest.mark.parametrize("value", [True, None, "5", [5], {}, -1, 0, 40.5, 10**30])
@pytest.mark.parametrize("key", ["imageHeight", "imageWidth"])
def test_size_of_another_type_is_refused(tmp_path, key, value):
    file = {**labelme(LABELME_SHAPE), key: value}
    with pytest.raises(FilmError, match=rf"a\.json: the LabelMe file .*\({key}"):
        read_outline(write(tmp_path / "a.json", file), SHAPE, FILM)


def test_file_with_many_errors_is_refused_for_the_first(tmp_path):
    file = labelme({"points": [["x", "y"]] * 200_000})
    with pytest.raises(FilmError, match=r"shapes\.0\.points\.0\.0: Input should be a valid number"):
        read_outline(write(tmp_path / "a.json", file), SHAPE, FILM)


def test_file_that_fits_two_tools_is_read_as_one_of_them(tmp_path):
    both = {**coco([[6, 4, 30, 4, 30, 20, 6, 20]]), **collection()}
    assert read_outline(write(tmp_path / "a.json", both), SHAPE, FILM).any()
