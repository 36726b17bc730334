"""A compressed frame is held against its header: followed where that is safe, else refused."""

from functools import partial

import numpy as np
import pytest
from codestream_kit import (
    encapsulated,
    frame_of,
    jpeg,
    jpeg_2000,
    jpeg_lossless,
    jpeg_ls_of,
    rle,
)
from dicom_kit import gradient, radiograph, save
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from gdshare.errors import FilmError
from gdshare.films.dicom import read_dicom
from gdshare.films.dicom.codestream import Codestream, read_codestream
from gdshare.films.dicom.decoder import decoder

FULL = 65535
GRAY_8, GRAY_12, GRAY_16 = gradient(8).astype(np.uint8), gradient(12), gradient(16)
COLOUR = np.stack([GRAY_8, GRAY_8[::-1], GRAY_8 // 2], axis=2)
WIDE = gradient(8, columns=80).astype(np.uint8)


@pytest.fixture(scope="module")
def decode():
    """One decoding process, shared by the tests."""
    with decoder() as shared:
        yield shared


def displayed(values, bits):
    return np.rint(values / ((1 << bits) - 1) * FULL)


def film(bits, allocated=None, **elements):
    """A header for 48 x 40 px, its pixel data still to be set; without a window."""
    pixels = np.arange(48 * 40, dtype=np.uint8 if (allocated or bits) == 8 else np.uint16)
    absent = {"WindowCenter": None, "WindowWidth": None}
    return radiograph(pixels.reshape(48, 40), bits, **absent | elements)


# Each makes a frame, in a folder of its own.
OTHER_IMAGES = {
    "JPEG in colour": (JPEGBaseline8Bit, lambda _: jpeg(COLOUR), 8, "3 colour components"),
    "JPEG-LS in colour": (JPEGLSLossless, lambda _: jpeg_ls_of(COLOUR), 8, "3 colour components"),
    "JPEG 2000 in colour": (JPEG2000Lossless, lambda _: jpeg_2000(COLOUR), 8, "3 colour"),
    "RLE in colour": (
        RLELossless,
        lambda _: rle(np.zeros((48, 40), "V3")),
        8,
        "3 RLE segments, but its header describes 1",
    ),
    "JPEG twice as wide": (JPEGBaseline8Bit, lambda _: jpeg(WIDE), 8, "80 x 48 px.*says 40 x 48"),
    "JPEG-LS twice as wide": (JPEGLSLossless, lambda _: jpeg_ls_of(WIDE), 8, "80 x 48 px"),
    "JPEG 2000 twice as wide": (JPEG2000Lossless, lambda _: jpeg_2000(WIDE), 8, "80 x 48 px"),
    "JPEG lossless twice as wide": (
        JPEGLosslessSV1,
        lambda folder: jpeg_lossless(WIDE, 8, folder, JPEGLosslessSV1),
        8,
        "80 x 48 px",
    ),
    "RLE twice as wide": (RLELossless, lambda _: rle(WIDE), 8, "larger than its header says"),
    "RLE with a column more": (
        RLELossless,
        lambda _: rle(np.pad(GRAY_8, ((0, 0), (0, 1)))),
        8,
        "larger than its header says",
    ),
    "RLE half as wide": (RLELossless, lambda _: rle(GRAY_8[:, :20]), 8, "damaged"),
    "JPEG with rows and columns exchanged": (
        JPEGBaseline8Bit,
        lambda _: jpeg(np.ascontiguousarray(GRAY_8.T)),
        8,
        "48 x 40 px, but its header says 40 x 48",
    ),
    "JPEG 2000 of 16 bits in 8": (JPEG2000Lossless, lambda _: jpeg_2000(GRAY_16), 8, "to 65535.*8"),
    "JPEG-LS of 12 bits in 8": (JPEGLSLossless, lambda _: jpeg_ls_of(GRAY_12), 8, "to 4095.*8"),
    "JPEG lossless of 12 bits in 8": (
        JPEGLossless,
        lambda folder: jpeg_lossless(GRAY_12, 12, folder, JPEGLossless),
        8,
        "from 0 to 4095, but its header says 8 bits",
    ),
    "JPEG lossless of 16 bits in 12": (
        JPEGLosslessSV1,
        lambda folder: jpeg_lossless(GRAY_16, 16, folder, JPEGLosslessSV1),
        12,
        "from 0 to 65535, but its header says 12 bits",
    ),
    "JPEG-LS of 16 bits in 12": (JPEGLSLossless, lambda _: jpeg_ls_of(GRAY_16), 12, "to 65535"),
    "RLE of 16 bits in 8": (RLELossless, lambda _: rle(GRAY_16), 8, "2 RLE segments"),
    "RLE of 8 bits in 16": (RLELossless, lambda _: rle(GRAY_8), 16, "1 RLE segments"),
    "no codestream at all": (JPEG2000, lambda _: bytes(range(200)), 8, "of no known kind"),
    "a codestream cut in its header": (JPEGBaseline8Bit, lambda _: jpeg(GRAY_8)[:20], 8, "damaged"),
    "arithmetic coding": (
        JPEGBaseline8Bit,
        lambda _: jpeg(GRAY_8).replace(b"\xff\xc0", b"\xff\xc9"),
        8,
        "not one of radiographs",
    ),
}


@pytest.mark.parametrize("case", OTHER_IMAGES)
def test_codestream_of_another_image_than_the_header_describes_is_refused(tmp_path, decode, case):
    syntax, coded, bits, reason = OTHER_IMAGES[case]
    path = encapsulated(film(bits), tmp_path / "odd.dcm", syntax, coded(tmp_path))
    with pytest.raises(FilmError, match=reason) as refusal:
        read_dicom(path, None, decode)
    assert refusal.value.where == path
    assert refusal.value.remedy


SIXTEEN_FOR_TWELVE = {
    JPEGLossless: lambda folder: jpeg_lossless(GRAY_12, 16, folder, JPEGLossless),
    JPEGLosslessSV1: lambda folder: jpeg_lossless(GRAY_12, 16, folder, JPEGLosslessSV1),
    JPEGLSLossless: lambda folder: frame_of(GRAY_12, 12, folder, JPEGLSLossless),
    JPEG2000Lossless: lambda _: jpeg_2000(GRAY_12),
}


@pytest.mark.parametrize("syntax", SIXTEEN_FOR_TWELVE, ids=lambda syntax: syntax.keyword)
def test_sixteen_bit_codestream_of_twelve_bit_values_is_read(tmp_path, decode, syntax):
    coded = SIXTEEN_FOR_TWELVE[syntax](tmp_path)
    assert read_codestream(coded).precision == 16
    path = encapsulated(film(12), tmp_path / "film.dcm", syntax, coded)
    np.testing.assert_array_equal(read_dicom(path, None, decode).pixels, displayed(GRAY_12, 12))


TWELVE_FOR_SIXTEEN = {
    JPEGLossless: lambda folder: jpeg_lossless(GRAY_12, 12, folder, JPEGLossless),
    JPEGLSLossless: lambda _: jpeg_ls_of(GRAY_12),
}


@pytest.mark.parametrize("syntax", TWELVE_FOR_SIXTEEN, ids=lambda syntax: syntax.keyword)
def test_film_without_a_window_is_displayed_over_the_bits_of_its_codestream(
    tmp_path, decode, syntax
):
    coded = TWELVE_FOR_SIXTEEN[syntax](tmp_path)
    path = encapsulated(film(16), tmp_path / "film.dcm", syntax, coded)
    np.testing.assert_array_equal(read_dicom(path, None, decode).pixels, displayed(GRAY_12, 12))


@pytest.mark.parametrize(
    ("syntax", "coded"),
    [
        (JPEGExtended12Bit, jpeg_ls_of(GRAY_8)),
        (RLELossless, jpeg_2000(GRAY_8)),
        (JPEG2000, jpeg_ls_of(GRAY_8)),
        (JPEGLSLossless, jpeg_2000(GRAY_8)),
    ],
)
def test_codestream_of_another_codec_than_the_transfer_syntax_names_is_followed(
    tmp_path, decode, syntax, coded
):
    path = encapsulated(film(8), tmp_path / "film.dcm", syntax, coded)
    np.testing.assert_array_equal(read_dicom(path, None, decode).pixels, displayed(GRAY_8, 8))


def long_box(content):
    """A JP2 file whose last box has a 64-bit length."""
    start = content.index(b"jp2c") - 4
    codestream = content[start + 8 :]
    return content[:start] + b"\0\0\0\1jp2c" + (len(codestream) + 16).to_bytes(8) + codestream


def open_box(content):
    """A JP2 file whose last box reaches to the end of the file."""
    start = content.index(b"jp2c") - 4
    return content[:start] + bytes(4) + content[start + 4 :]


@pytest.mark.parametrize("box", [bytes, long_box, open_box])
def test_jpeg_2000_in_a_jp2_file_is_read(tmp_path, decode, box):
    coded = box(jpeg_2000(GRAY_12, no_jp2=False))
    assert read_codestream(coded).start > 0
    path = encapsulated(film(12), tmp_path / "film.dcm", JPEG2000Lossless, coded)
    np.testing.assert_array_equal(read_dicom(path, None, decode).pixels, displayed(GRAY_12, 12))


def with_segments(content):
    """An application segment that holds another frame header, a comment, and fill bytes."""
    thumbnail = jpeg(np.zeros((8, 8), np.uint8))
    application = b"\xff\xe5" + (len(thumbnail) + 2).to_bytes(2) + thumbnail
    return content[:2] + application + b"\xff\xff\xff\xfe\x00\x04hi" + content[2:]


@pytest.mark.parametrize(
    "coded",
    [
        with_segments(jpeg(GRAY_8)),
        jpeg(GRAY_8, restart_marker_rows=1),
        jpeg(GRAY_8, progressive=True),
        jpeg(GRAY_8) + b"\xff",
    ],
    ids=["segments", "restart", "progressive", "trailing"],
)
def test_jpeg_with_other_segments_is_read(tmp_path, decode, coded):
    path = encapsulated(film(8), tmp_path / "film.dcm", JPEGBaseline8Bit, coded)
    pixels = read_dicom(path, None, decode).pixels
    assert np.abs(pixels - displayed(GRAY_8, 8)).max() <= 2 * FULL / 255


def test_frame_in_several_fragments_is_one_frame(tmp_path, decode):
    coded = jpeg_2000(GRAY_12)
    thirds = [coded[start : start + 200] for start in range(0, len(coded), 200)]
    path = encapsulated(film(12), tmp_path / "film.dcm", JPEG2000Lossless, *thirds)
    np.testing.assert_array_equal(read_dicom(path, None, decode).pixels, displayed(GRAY_12, 12))


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless], ids=lambda s: s.keyword)
def test_second_frame_that_the_header_does_not_count_is_not_dropped(tmp_path, decode, syntax):
    coded = jpeg_2000(GRAY_8) if syntax == JPEG2000Lossless else jpeg_ls_of(GRAY_8)
    path = encapsulated(film(8), tmp_path / "odd.dcm", syntax, coded, coded)
    with pytest.raises(FilmError, match="has 2 frames, but its header says 1"):
        read_dicom(path, None, decode)


def test_every_frame_of_several_is_held_against_the_header(tmp_path, decode):
    header = film(8, NumberOfFrames=2)
    path = encapsulated(
        header, tmp_path / "run.dcm", JPEGLSLossless, jpeg_ls_of(GRAY_8), jpeg_ls_of(WIDE)
    )
    np.testing.assert_array_equal(read_dicom(path, 1, decode).pixels, displayed(GRAY_8, 8))
    with pytest.raises(FilmError, match="80 x 48 px"):
        read_dicom(path, 2, decode)


SIGNED = (GRAY_12.astype(np.int32) - 2048).astype(np.int16)


def cut_sign(values):
    """Two's complement of 12 bits, without the sign's repetitions above."""
    return (values.astype(np.int32) & 4095).astype(np.uint16)


@pytest.mark.parametrize(
    "coded",
    [
        pytest.param(lambda _: jpeg_ls_of(cut_sign(SIGNED)), id="JPEG-LS, 12 bits"),
        pytest.param(
            lambda folder: frame_of(SIGNED, 12, folder, JPEGLSLossless), id="JPEG-LS, 16 bits"
        ),
        pytest.param(
            lambda folder: jpeg_lossless(cut_sign(SIGNED), 16, folder, JPEGLossless),
            id="JPEG lossless, 12 in 16 bits",
        ),
        pytest.param(
            lambda folder: frame_of(SIGNED, 12, folder, JPEGLosslessSV1),
            id="JPEG lossless, 16 bits",
        ),
        pytest.param(
            lambda folder: frame_of(SIGNED, 12, folder, JPEG2000Lossless), id="JPEG 2000, signed"
        ),
    ],
)
def test_signed_values_are_read_however_the_codestream_holds_them(tmp_path, decode, coded):
    path = encapsulated(
        film(12, PixelRepresentation=1), tmp_path / "film.dcm", JPEG2000, coded(tmp_path)
    )
    np.testing.assert_array_equal(read_dicom(path, None, decode).pixels, displayed(GRAY_12, 12))


@pytest.mark.parametrize(
    ("sign", "coded", "reason"),
    [
        (1, lambda _: jpeg_2000(GRAY_12), "unsigned values from 0 to 4095.*12 bits, signed"),
        (
            0,
            lambda folder: frame_of(SIGNED, 12, folder, JPEG2000Lossless),
            "signed values from -2048 to 2047.*12 bits, unsigned",
        ),
    ],
)
def test_sign_of_jpeg_2000_that_contradicts_the_header_is_refused(
    tmp_path, decode, sign, coded, reason
):
    header = film(12, PixelRepresentation=sign)
    path = encapsulated(header, tmp_path / "odd.dcm", JPEG2000Lossless, coded(tmp_path))
    with pytest.raises(FilmError, match=reason):
        read_dicom(path, None, decode)


def test_signed_film_of_fewer_bits_is_refused_if_its_sign_is_in_doubt(tmp_path, decode):
    header = film(16, PixelRepresentation=1)
    path = encapsulated(header, tmp_path / "odd.dcm", JPEGLSLossless, jpeg_ls_of(GRAY_12))
    with pytest.raises(FilmError, match=r"from 0 to 4095.*16 bits, signed"):
        read_dicom(path, None, decode)


def test_lossy_values_just_outside_the_stored_bits_are_clipped_and_do_not_wrap(tmp_path, decode):
    checks = np.kron(np.indices((12, 10)).sum(0) % 2, np.ones((4, 4), int)) * 4095
    coded = jpeg_2000(
        checks.astype(np.uint16), irreversible=True, quality_mode="rates", quality_layers=[12]
    )
    path = encapsulated(film(12), tmp_path / "film.dcm", JPEG2000, coded)
    pixels = read_dicom(path, None, decode).pixels
    assert pixels[checks > 0].min() > FULL / 2
    assert pixels[checks > 0].max() == FULL


UNCOMPRESSED = {
    "16 bits in 8": (8, GRAY_16.tobytes()),
    "a column more": (8, np.pad(GRAY_8, ((0, 0), (0, 1))).tobytes()),
    "three colours": (8, COLOUR.tobytes()),
    "two frames": (8, GRAY_8.tobytes() * 2),
    "a row less": (8, GRAY_8[1:].tobytes()),
}


@pytest.mark.parametrize("case", UNCOMPRESSED)
def test_uncompressed_pixel_data_of_another_length_is_refused(tmp_path, case):
    bits, content = UNCOMPRESSED[case]
    path = save(film(bits, PixelData=content), tmp_path / "odd.dcm")
    with pytest.raises(FilmError, match=rf"{len(content):,} bytes, but its header describes 1,920"):
        read_dicom(path)


def test_padding_behind_uncompressed_pixel_data_is_ignored(tmp_path):
    path = save(film(8, PixelData=GRAY_8.tobytes() + bytes(2)), tmp_path / "film.dcm")
    np.testing.assert_array_equal(read_dicom(path).pixels, displayed(GRAY_8, 8))


def test_padding_behind_an_rle_segment_is_ignored(tmp_path, decode):
    coded = rle(GRAY_8) + b"\x00\x00"
    path = encapsulated(film(8), tmp_path / "film.dcm", RLELossless, coded)
    np.testing.assert_array_equal(read_dicom(path, None, decode).pixels, displayed(GRAY_8, 8))


def test_fragments_under_an_uncompressed_transfer_syntax_are_refused(tmp_path):
    coded = encapsulate([rle(GRAY_8)])
    dataset = film(8, PixelData=coded + bytes(max(0, 48 * 40 - len(coded))))
    with pytest.raises(FilmError, match="pixel data is damaged"):
        read_dicom(save(dataset, tmp_path / "odd.dcm", ExplicitVRLittleEndian))


@pytest.mark.parametrize(
    "coded", [jpeg(GRAY_8), jpeg_ls_of(GRAY_12), jpeg_2000(GRAY_12, no_jp2=False)]
)
def test_header_of_a_damaged_codestream_is_read_or_refused(coded):
    @settings(max_examples=200, deadline=None)
    @given(
        flips=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6),
        keep=st.integers(0, len(coded)),
    )
    def mutate(flips, keep):
        content = bytearray(coded)
        for offset, value in flips:
            content[offset % len(content)] = value
        try:
            stream = read_codestream(bytes(content[:keep]))
        except ValueError:
            return
        assert stream is None or isinstance(stream, Codestream)

    mutate()


@pytest.mark.parametrize(
    "endless",
    [
        b"\xff\xd8" + b"\xff\xe0\x00\x00" * 100_000,
        b"\xff\xd8" + b"\xff" * 1_000_000,
        b"\x00\x00\x00\x0cjP  " + bytes(4) + b"\x00\x00\x00\x00free",
    ],
    ids=["empty segments", "fill bytes", "empty box"],
)
def test_reading_a_codestreams_header_ends(endless):
    with pytest.raises(ValueError, match="codestream"):
        read_codestream(endless)


def test_precision_of_each_kind_of_codestream_is_read(tmp_path):
    lossless = partial(jpeg_lossless, folder=tmp_path, syntax=JPEGLosslessSV1)
    for coded, precision, signed in (
        (jpeg(GRAY_8), 8, None),
        (lossless(GRAY_12, 12), 12, None),
        (jpeg_ls_of(gradient(10)), 10, None),
        (jpeg_2000(GRAY_12, signed=True), 16, True),
        (jpeg_2000(GRAY_8), 8, False),
    ):
        stream = read_codestream(coded)
        assert (stream.rows, stream.columns, stream.components) == (48, 40, 1)
        assert (stream.precision, stream.signed) == (precision, signed)
