import zlib

import numpy as np
import pytest
from outline_kit import FILM, SHAPE, filled, rings_mask
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless
from seg_kit import radiograph, segmentation

from gdshare.errors import FilmError
from gdshare.films.outlines import read_annotations, read_outline, seg

LIVER = filled(30, 25, 50, 39)


def planes(*masks):
    return np.stack(masks, axis=2).astype(np.uint8)


@pytest.fixture
def path(tmp_path):
    return segmentation(tmp_path / "seg.dcm", planes(rings_mask()))


def changed(path, **elements):
    dataset = dcmread(path)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)
    return path


def test_binary_segment_is_read_with_holes_and_parts(path):
    np.testing.assert_array_equal(read_outline(path, SHAPE, FILM), rings_mask())


def test_segment_is_chosen_by_its_label_though_segments_overlap(tmp_path):
    empty = np.zeros(SHAPE, bool)
    path = segmentation(
        tmp_path / "seg.dcm",
        planes(rings_mask(), empty, LIVER),
        labels=("stomach", "spleen", "liver"),
    )
    annotations = read_annotations(path)
    np.testing.assert_array_equal(annotations.outline(SHAPE, FILM, "stomach").inside, rings_mask())
    np.testing.assert_array_equal(annotations.outline(SHAPE, FILM, "liver").inside, LIVER)
    with pytest.raises(FilmError, match="marks no pixel as inside"):
        annotations.outline(SHAPE, FILM, "spleen")
    with pytest.raises(FilmError, match="several labels: 'stomach', 'spleen', 'liver'; choose"):
        annotations.outline(SHAPE, FILM, None)
    with pytest.raises(FilmError, match="no label 'colon' on this film, only 'stomach'"):
        annotations.outline(SHAPE, FILM, "colon")


def test_frames_that_begin_within_a_byte_are_read(tmp_path):
    stomach, liver = np.random.default_rng(0).random((2, 13, 11)) < 0.5
    path = segmentation(tmp_path / "seg.dcm", planes(stomach, liver), labels=("stomach", "liver"))
    np.testing.assert_array_equal(read_outline(path, (13, 11), FILM, "liver"), liver)


@pytest.mark.parametrize(("most", "half"), [(255, 128), (100, 50), (1, 1)])
def test_fraction_is_inside_from_one_half_on(tmp_path, most, half):
    share = np.linspace(0, 1, SHAPE[0] * SHAPE[1]).reshape(*SHAPE, 1)
    path = segmentation(tmp_path / "seg.dcm", share, "FRACTIONAL", max_fractional_value=most)
    stored = np.around(share[..., 0] * most)
    np.testing.assert_array_equal(read_outline(path, SHAPE, FILM), stored >= half)


def test_label_map_is_read_by_its_values(tmp_path):
    values = np.where(rings_mask(), 1, np.where(LIVER, 2, 0)).astype(np.uint8)
    path = segmentation(tmp_path / "s.dcm", values, "LABELMAP", labels=("stomach", "liver"))
    np.testing.assert_array_equal(read_outline(path, SHAPE, FILM, "stomach"), rings_mask())
    np.testing.assert_array_equal(read_outline(path, SHAPE, FILM, "liver"), LIVER & ~rings_mask())


def test_implicit_encoding_is_read(tmp_path):
    path = segmentation(
        tmp_path / "s.dcm", planes(rings_mask()), transfer_syntax_uid=ImplicitVRLittleEndian
    )
    np.testing.assert_array_equal(read_outline(path, SHAPE, FILM), rings_mask())


def test_compressed_frame_is_read(tmp_path):
    share = rings_mask()[..., None].astype(np.float64)
    dataset = dcmread(segmentation(tmp_path / "s.dcm", share, "FRACTIONAL"))
    dataset.compress(RLELossless, encoding_plugin="pydicom")
    dataset.save_as(tmp_path / "s.dcm")
    np.testing.assert_array_equal(read_outline(tmp_path / "s.dcm", SHAPE, FILM), rings_mask())


def deflated(path):
    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    return path


def test_deflated_file_is_read(path):
    np.testing.assert_array_equal(read_outline(deflated(path), SHAPE, FILM), rings_mask())


def test_deflated_bomb_is_refused_before_it_fills_the_memory(path):
    data = deflated(path).read_bytes()
    meta = data[: 144 + int.from_bytes(data[140:144], "little")]
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    block = bytes(1 << 20)
    bomb = b"".join(squeeze.compress(block) for _ in range(seg.MAX_BYTES // len(block) + 2))
    path.write_bytes(meta + bomb + squeeze.flush())
    with pytest.raises(FilmError, match=r"seg\.dcm: is larger than 128 MB when inflated"):
        read_outline(path, SHAPE, FILM)


def test_film_of_another_size_is_refused(path):
    with pytest.raises(FilmError, match="drawn on 56 x 40 px but its film is 57 x 40"):
        read_outline(path, (40, 57), FILM)


def test_segmentation_with_several_frames_per_segment_is_refused(path):
    dataset = dcmread(path)
    groups = [*dataset.PerFrameFunctionalGroupsSequence] * 2
    changed(
        path,
        NumberOfFrames=2,
        PerFrameFunctionalGroupsSequence=groups,
        PixelData=dataset.PixelData * 2,
    )
    with pytest.raises(FilmError, match="several frames per segment"):
        read_outline(path, SHAPE, FILM)


def test_segmentation_in_tiles_is_refused(path):
    with pytest.raises(FilmError, match="in tiles"):
        read_outline(changed(path, TotalPixelMatrixRows=400), SHAPE, FILM)


def test_segmentation_of_absurd_size_is_refused_before_it_is_decoded(path):
    with pytest.raises(FilmError, match="larger than any film"):
        read_outline(changed(path, Rows=65535, Columns=65535), (65535, 65535), FILM)


@pytest.mark.parametrize("frames", [2**31 - 1, 2, 3])
def test_segmentation_that_claims_frames_it_does_not_describe_is_refused(path, frames):
    with pytest.raises(FilmError, match=f"claims {frames:,} frames but describes 1"):
        read_outline(changed(path, NumberOfFrames=frames), SHAPE, FILM)


def test_film_instead_of_its_segmentation_is_refused(tmp_path):
    film = radiograph(SHAPE)
    film.save_as(tmp_path / "film.dcm", enforce_file_format=True)
    with pytest.raises(FilmError, match=r"film\.dcm: is DICOM, but not a segmentation"):
        read_outline(tmp_path / "film.dcm", SHAPE, FILM)


def test_pixel_data_cut_short_is_refused(path):
    with pytest.raises(FilmError, match="pixel data is damaged"):
        read_outline(changed(path, PixelData=bytes(4)), SHAPE, FILM)


def test_segmentation_by_another_tool_is_read(tmp_path):
    liver = dcmread(get_testdata_file("liver_1frame.dcm"))  # by dcmqi; it comes with pydicom
    del liver.PerFrameFunctionalGroupsSequence[1:]  # of the frames that were removed
    liver.save_as(tmp_path / "liver.dcm")
    outline = read_annotations(tmp_path / "liver.dcm").outline((512, 512), FILM, None)
    assert outline.name == "Liver"
    np.testing.assert_array_equal(outline.inside, liver.pixel_array == 1)


@pytest.mark.parametrize("keep", [132, 150, 400, 1500])
def test_file_cut_short_is_refused(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FilmError, match=r"seg\.dcm: is (not a readable DICOM-SEG|DICOM, but not)"):
        read_outline(path, SHAPE, FILM)
