"""Lookup tables are read by what their numbers mean, not by their VRs."""

import numpy as np
import pytest
from dicom_kit import gradient, radiograph, save
from pydicom import DataElement, Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from gdshare.errors import FilmError
from gdshare.films import read_film

FULL = 65535
SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
PARAMETER = pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)


def lut(count, bits, vr, data, first=0):
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [count % 65536, first, bits])
    item["LUTData"] = DataElement("LUTData", vr, data, already_converted=True)
    return [item]


def shown(tmp_path, syntax=ExplicitVRLittleEndian, pixels=None, bits=12, **elements):
    """The pixels of a film without a window."""
    pixels = gradient(bits) if pixels is None else pixels
    absent = {"WindowCenter": None, "WindowWidth": None}
    order = pixels.dtype.newbyteorder("<" if syntax.is_little_endian else ">")
    dataset = radiograph(pixels, bits, **absent | elements)
    dataset.PixelData = pixels.astype(order).tobytes()
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    return read_film(save(dataset, tmp_path / "film.dcm", syntax)).pixels


def in_order(words, syntax):
    return np.asarray(words).astype("<u2" if syntax.is_little_endian else ">u2").tobytes()


RISING = np.arange(4096) * 16 + 15
"""Entries of 16 bits, half of them above 32767."""


@pytest.mark.parametrize("vr", ["US", "SS", "OW"])
@PARAMETER
def test_entries_of_a_voi_lut_are_unsigned_whatever_their_vr(tmp_path, vr, syntax):
    numbers = RISING.astype(np.int16 if vr == "SS" else np.uint16)
    data = in_order(RISING, syntax) if vr == "OW" else [int(number) for number in numbers]
    pixels = shown(tmp_path, syntax, VOILUTSequence=lut(4096, 16, vr, data))
    np.testing.assert_array_equal(pixels, RISING[gradient()])


@pytest.mark.parametrize("vr", ["US", "SS", "OW"])
@PARAMETER
def test_entries_of_a_modality_lut_are_unsigned_whatever_their_vr(tmp_path, vr, syntax):
    numbers = RISING.astype(np.int16 if vr == "SS" else np.uint16)
    data = in_order(RISING, syntax) if vr == "OW" else [int(number) for number in numbers]
    pixels = shown(tmp_path, syntax, ModalityLUTSequence=lut(4096, 16, vr, data))
    np.testing.assert_array_equal(pixels, np.rint((RISING[gradient()] - 15) / 65520 * FULL))


def packed(entries, vr, syntax):
    """Entries of one byte each: as bytes, or two to a word, the first in the low byte."""
    data = bytes(entries) + bytes(len(entries) % 2)
    words = np.frombuffer(data, "<u2")
    if vr == "OB":
        return data
    return in_order(words, syntax) if vr == "OW" else [int(word) for word in words]


@pytest.mark.parametrize("count", [256, 255])
@pytest.mark.parametrize("vr", ["OW", "OB", "US"])
@PARAMETER
def test_voi_lut_of_8_bits_is_read_packed(tmp_path, count, vr, syntax):
    entries = 255 - np.arange(count)
    pixels = gradient(8).astype(np.uint8)
    data = packed(entries.astype(np.uint8), vr, syntax)
    result = shown(tmp_path, syntax, pixels, 8, VOILUTSequence=lut(count, 8, vr, data))
    np.testing.assert_array_equal(result, entries[np.minimum(pixels, count - 1)] * 257)


@PARAMETER
def test_modality_lut_of_8_bits_is_read_packed(tmp_path, syntax):
    entries = (np.arange(4096) // 16).astype(np.uint8)
    data = packed(entries, "OW", syntax)
    pixels = shown(tmp_path, syntax, ModalityLUTSequence=lut(4096, 8, "OW", data))
    np.testing.assert_array_equal(pixels, entries[gradient()].astype(int) * 257)


@pytest.mark.parametrize("sequence", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize("count", [256, 255])
@PARAMETER
def test_lut_of_8_bits_with_a_word_for_each_entry_is_read_too(tmp_path, sequence, count, syntax):
    entries = 255 - np.arange(count)
    pixels = gradient(8).astype(np.uint8)
    item = lut(count, 8, "OW", in_order(entries, syntax))
    result = shown(tmp_path, syntax, pixels, 8, **{sequence: item})
    low = entries.min() if sequence == "ModalityLUTSequence" else 0
    expected = (entries[np.minimum(pixels, count - 1)] - low) / (255 - low) * FULL
    np.testing.assert_array_equal(result, np.rint(expected))


@pytest.mark.parametrize("bits", [16, 14, 13, 0, 10, 8])
def test_white_of_a_voi_lut_is_its_greatest_entry_if_that_does_not_need_the_declared_bits(
    tmp_path, bits
):
    item = lut(4096, bits, "US", list(range(4096)))
    np.testing.assert_array_equal(
        shown(tmp_path, VOILUTSequence=item), np.rint(gradient() / 4095 * FULL)
    )


@pytest.mark.parametrize(("bits", "greatest"), [(12, 2048), (12, 4000), (16, 40_000)])
def test_white_of_a_voi_lut_is_that_of_its_declared_bits_if_an_entry_needs_them(
    tmp_path, bits, greatest
):
    entries = np.linspace(0, greatest, 4096).astype(int)
    item = lut(4096, bits, "US", [int(entry) for entry in entries])
    np.testing.assert_array_equal(
        shown(tmp_path, VOILUTSequence=item),
        np.rint(entries[gradient()] / ((1 << bits) - 1) * FULL),
    )


def test_lut_of_65536_entries_declares_0(tmp_path):
    item = lut(65536, 16, "OW", np.arange(65536)[::-1].astype("<u2").tobytes())
    np.testing.assert_array_equal(
        shown(tmp_path, bits=16, VOILUTSequence=item), FULL - gradient(16)
    )


@pytest.mark.parametrize("vr", ["US", "SS"])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_modality_lut_of_signed_values_begins_below_zero_whatever_its_vr(tmp_path, vr, syntax):
    item = lut(4096, 12, "US", list(range(4095, -1, -1)))
    first = -2048 if vr == "SS" else 65536 - 2048
    item[0].add_new("LUTDescriptor", vr, [4096, first, 12])
    signed = (gradient().astype(int) - 2048).astype(np.int16)
    pixels = shown(tmp_path, syntax, signed, ModalityLUTSequence=item)
    np.testing.assert_array_equal(pixels, np.rint((4095 - gradient()) / 4095 * FULL))


@pytest.mark.parametrize(
    ("descriptor", "entries"), [([4096, 0, 16], 4095), ([300, 0, 8], 200), ([4096, 0, 16], 2048)]
)
@pytest.mark.parametrize("sequence", ["VOILUTSequence", "ModalityLUTSequence"])
def test_lut_of_another_length_than_it_declares_is_refused(tmp_path, descriptor, entries, sequence):
    item = lut(*descriptor[::2], "US", list(range(entries)))
    with pytest.raises(
        FilmError, match=f"its {sequence} has {entries} words for {descriptor[0]} entries"
    ):
        shown(tmp_path, **{sequence: item})


def test_lut_of_zeros_is_refused(tmp_path):
    with pytest.raises(FilmError, match="one gray"):
        shown(tmp_path, VOILUTSequence=lut(4096, 16, "US", [0] * 4096))


def test_first_lut_with_data_is_used(tmp_path):
    falling = lut(4096, 12, "US", list(range(4095, -1, -1)))
    items = [Dataset(), *falling, *lut(4096, 12, "US", list(range(4096)))]
    np.testing.assert_array_equal(
        shown(tmp_path, VOILUTSequence=items), np.rint((4095 - gradient()) / 4095 * FULL)
    )
