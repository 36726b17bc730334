"""An empty optional element is an absent one."""

import numpy as np
import pytest
from dicom_kit import gradient, radiograph, save
from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    XRayRadiofluoroscopicImageStorage,
)

from gdshare.errors import FilmError
from gdshare.films import read_film
from gdshare.films.dicom.header import FILM_TAGS, header_of, read_dataset
from gdshare.store.intake import BURNED_IN, IDENTIFIERS

SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
SHOWN = np.rint(gradient() / 4095 * 65535)
OPTIONAL = (
    "NumberOfFrames",
    "SamplesPerPixel",
    "PresentationLUTShape",
    "PixelIntensityRelationship",
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
)
MANDATORY = (
    "SOPClassUID",
    "Rows",
    "Columns",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelData",
)
KINDS = (
    None,
    DigitalXRayImageStorageForPresentation,
    XRayRadiofluoroscopicImageStorage,
)


def emptied(dataset, *names):
    for name in names:
        vr = dictionary_VR(name)
        value = [] if vr == "SQ" else None
        dataset[name] = DataElement(name, vr.split(" or ")[0], value)
    return dataset


def film(kind=None):
    elements = {} if kind is None else {"SOPClassUID": kind}
    return radiograph(gradient(), **elements)


def test_every_element_that_the_reader_uses_is_tried():
    names = {keyword_for_tag(tag) for tag in FILM_TAGS}
    assert names == {*OPTIONAL, *MANDATORY, "OverlayBitPosition"}


@pytest.mark.parametrize("syntax", SYNTAXES[:2], ids=lambda syntax: syntax.keyword)
def test_empty_overlay_bit_position_is_none(tmp_path, syntax):
    dataset = film()
    dataset.add_new((0x6000, 0x0102), "US", None)
    path = save(dataset, tmp_path / "film.dcm", syntax)
    assert header_of(read_dataset(path), path).overlays == 0
    np.testing.assert_array_equal(read_film(path).pixels, SHOWN)


@pytest.mark.parametrize("name", OPTIONAL)
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize("kind", KINDS)
def test_empty_element_reads_as_an_absent_one(tmp_path, name, syntax, kind):
    dataset = emptied(film(kind), name)
    order = "<u2" if syntax.is_little_endian else ">u2"
    dataset.PixelData = gradient().astype(order).tobytes()
    empty = read_film(save(dataset, tmp_path / "empty.dcm", syntax))
    del dataset[name]
    absent = read_film(save(dataset, tmp_path / "absent.dcm", syntax))
    np.testing.assert_array_equal(empty.pixels, SHOWN)
    np.testing.assert_array_equal(absent.pixels, SHOWN)
    assert empty.spacing == absent.spacing


def test_all_optional_elements_may_be_empty_at_once(tmp_path):
    film_without = read_film(save(emptied(film(), *OPTIONAL), tmp_path / "film.dcm"))
    np.testing.assert_array_equal(film_without.pixels, SHOWN)
    assert film_without.spacing is None


@pytest.mark.parametrize("name", MANDATORY)
def test_empty_mandatory_element_is_named(tmp_path, name):
    path = save(emptied(film(), name), tmp_path / "odd.dcm")
    named = {
        "PixelData": "has no pixel data",
        "PhotometricInterpretation": "PhotometricInterpretation unknown",
    }
    with pytest.raises(FilmError, match=named.get(name, f"its header has no {name}")):
        read_film(path)


HALF = {
    "an empty item": {},
    "an item with two empty elements": {"LUTDescriptor": None, "LUTData": None},
    "an item without data": {"LUTDescriptor": [4096, 0, 16], "LUTData": None},
    "an item without descriptor": {"LUTDescriptor": None, "LUTData": list(range(4096))},
    "an item with an explanation only": {"LUTExplanation": "for the chest"},
}


@pytest.mark.parametrize("case", HALF)
@pytest.mark.parametrize("sequence", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize("syntax", SYNTAXES[:2], ids=lambda syntax: syntax.keyword)
def test_item_that_holds_no_whole_lut_is_ignored_and_the_window_used(
    tmp_path, case, sequence, syntax
):
    item = Dataset()
    for name, value in HALF[case].items():
        vr = "LO" if name == "LUTExplanation" else "US"
        item[name] = DataElement(name, vr, value)
    dataset = radiograph(gradient(), WindowCenter=1024, WindowWidth=2048, **{sequence: [item]})
    pixels = read_film(save(dataset, tmp_path / "film.dcm", syntax)).pixels
    np.testing.assert_array_equal(
        pixels, np.rint(np.clip(gradient() / 2047, 0, 1) * 65535), strict=False
    )


@pytest.mark.parametrize(
    ("slope", "intercept"), [(None, None), (None, -100), (2, None)], ids=["both", "slope", "-"]
)
def test_half_a_rescale_is_the_other_half(tmp_path, slope, intercept):
    window = {
        "WindowCenter": (slope or 1) * 2048 + (intercept or 0),
        "WindowWidth": (slope or 1) * 4095 + 1,
    }
    dataset = radiograph(gradient(), **window)
    dataset["RescaleSlope"] = DataElement("RescaleSlope", "DS", slope)
    dataset["RescaleIntercept"] = DataElement("RescaleIntercept", "DS", intercept)
    pixels = read_film(save(dataset, tmp_path / "film.dcm")).pixels
    assert np.abs(pixels - SHOWN).max() <= 8


@pytest.mark.parametrize(
    ("centre", "width"), [(["", 2048], ["", 4096]), (["", 2048], [9, 4096]), ([2048], [4096, 1])]
)
def test_first_window_with_centre_and_width_is_used(tmp_path, centre, width):
    dataset = radiograph(gradient(), WindowCenter=centre, WindowWidth=width)
    pixels = read_film(save(dataset, tmp_path / "film.dcm")).pixels
    np.testing.assert_array_equal(pixels, SHOWN)


@pytest.mark.parametrize("name", [BURNED_IN, *IDENTIFIERS])
def test_empty_element_that_only_the_import_reads_does_not_disturb_the_film(tmp_path, name):
    path = save(emptied(film(), name), tmp_path / "film.dcm")
    np.testing.assert_array_equal(read_film(path).pixels, SHOWN)


@pytest.mark.parametrize("name", ["Rows", "Columns", "BitsStored"])
def test_unsigned_element_written_as_signed_is_read_unsigned(tmp_path, name):
    dataset = film()
    dataset[name] = DataElement(name, "SS", int(dataset[name].value))
    np.testing.assert_array_equal(read_film(save(dataset, tmp_path / "film.dcm")).pixels, SHOWN)
    dataset = radiograph(np.zeros((40_000, 1), np.uint8), bits=8)
    dataset["Rows"] = DataElement("Rows", "SS", 40_000 - 65_536)
    path = save(dataset, tmp_path / "tall.dcm")
    assert header_of(read_dataset(path), path).rows == 40_000
