"""Films without the preamble, or without any file meta information, are read."""

import numpy as np
import pytest
from codestream_kit import jpeg_2000
from dicom_kit import gradient, radiograph, save, write
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from gdshare.errors import FilmError
from gdshare.films.dicom import read_dicom
from gdshare.films.dicom.header import read_dataset
from gdshare.films.signature import begins_as_dicom, is_dicom

SHOWN = np.rint(gradient() / 4095 * 65535)
PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)


def film(folder, syntax=ExplicitVRLittleEndian, **elements):
    order = "<u2" if syntax.is_little_endian else ">u2"
    dataset = radiograph(gradient(), PixelData=gradient().astype(order).tobytes(), **elements)
    return save(dataset, folder / "film.dcm", syntax)


def strip(path, meta):
    """Take out the preamble and, if so asked, the file meta information."""
    content, start = path.read_bytes(), 132
    while not meta and content[start : start + 2] == b"\x02\x00":  # all of short VRs
        start += 8 + int.from_bytes(content[start + 6 : start + 8], "little")
    path.write_bytes(content[start:])
    return path


@pytest.mark.parametrize("meta", [True, False], ids=["meta", "bare"])
@pytest.mark.parametrize("syntax", PLAIN, ids=lambda syntax: syntax.keyword)
def test_film_without_preamble_is_read(tmp_path, syntax, meta):
    path = strip(film(tmp_path, syntax), meta)
    assert is_dicom(path)
    np.testing.assert_array_equal(read_dicom(path).pixels, SHOWN)
    assert read_dataset(path).file_meta.TransferSyntaxUID == syntax


@pytest.mark.parametrize("syntax", PLAIN[:2], ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize(
    "first", [{"SpecificCharacterSet": "ISO_IR 100"}, {"ImageType": ["ORIGINAL", "PRIMARY"]}, {}]
)
def test_bare_film_is_read_whatever_its_first_element(tmp_path, syntax, first):
    path = strip(film(tmp_path, syntax, **first), meta=False)
    np.testing.assert_array_equal(read_dicom(path).pixels, SHOWN)


def test_compressed_film_without_preamble_is_read(tmp_path):
    path = strip(save(radiograph(gradient()), tmp_path / "film.dcm", JPEG2000Lossless), meta=True)
    np.testing.assert_array_equal(read_dicom(path).pixels, SHOWN)


def test_compressed_film_that_does_not_say_how_is_refused(tmp_path):
    dataset = radiograph(gradient(), PixelData=encapsulate([jpeg_2000(gradient())]))
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    path = strip(write(dataset, tmp_path / "film.dcm", JPEG2000Lossless), meta=False)
    with pytest.raises(FilmError, match="is compressed, but does not say how"):
        read_dicom(path)


def test_deflated_file_without_preamble_is_refused_before_it_is_inflated(tmp_path):
    dataset = radiograph(np.zeros((8000, 8000), np.uint16))
    path = save(dataset, tmp_path / "bomb.dcm", DeflatedExplicitVRLittleEndian)
    with pytest.raises(FilmError, match=r"bomb\.dcm: is deflated"):
        read_dicom(strip(path, meta=True))


@pytest.mark.parametrize("syntax", PLAIN[:2], ids=lambda syntax: syntax.keyword)
def test_empty_transfer_syntax_is_a_missing_one(tmp_path, syntax):
    path = film(tmp_path, syntax)
    content, name = path.read_bytes(), syntax.encode() + bytes(len(syntax) % 2)
    path.write_bytes(content.replace(name, bytes(len(name)), 1))
    np.testing.assert_array_equal(read_dicom(path).pixels, SHOWN)


@pytest.mark.parametrize("syntax", PLAIN[:2], ids=lambda syntax: syntax.keyword)
def test_bare_film_cut_anywhere_is_refused_with_its_path(tmp_path, syntax):
    path = strip(film(tmp_path, syntax), meta=False)
    whole = path.read_bytes()
    for length in (*range(0, 200, 7), *range(200, len(whole), 197)):
        path.write_bytes(whole[:length])
        with pytest.raises(FilmError, match=r"film\.dcm"):
            read_dicom(path)


OTHERS = {
    "nothing": b"",
    "text": b"for Jane Doe, 1950-12-31" * 100,
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(3000),
    "TIFF, little endian": b"II*\x00\x08\x00\x00\x00" + bytes(3000),
    "TIFF, big endian": b"MM\x00*\x00\x00\x00\x08" + bytes(3000),
    "JPEG": b"\xff\xd8\xff\xe0" + bytes(3000),
    "zeros": bytes(4000),
    "eights": b"\x08\x00" * 2000,
    "8 and zeros": b"\x08\x00" + bytes(4000),
    "meta information without a VR": b"\x02\x00\x10\x00\x14\x00\x00\x00" + bytes(4000),
    "an element that never ends": b"\x08\x00\x05\x00\xff\xff\xff\x7f" + bytes(4000),
    "an icon": b"\x00\x00\x01\x00\x01\x00" + bytes(4000),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_not_taken_for_dicom(tmp_path, name):
    assert not begins_as_dicom(OTHERS[name][:2048])
    path = tmp_path / "other"
    path.write_bytes(OTHERS[name])
    with pytest.raises(FilmError, match="other: is not DICOM"):
        read_dicom(path)
