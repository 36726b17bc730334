import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_kit import CODECS, LOSSY, NAME, gradient, radiograph, save
from pydicom import DataElement, Dataset
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    SecondaryCaptureImageStorage,
    XRayRadiofluoroscopicImageStorage,
)

from gdshare.errors import FilmError
from gdshare.films import read_film
from gdshare.films.dicom import read_dicom
from gdshare.films.dicom.decoder import decoder

REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "dicom"
real_files = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real DICOM files in {REAL}")
FULL = 65535


@pytest.fixture(scope="module")
def decode():
    """One decoding process, shared by the tests."""
    with decoder() as shared:
        yield shared


def displayed(values, bits=12):
    """The pixels that a window over the whole stored range gives."""
    return np.rint(values / ((1 << bits) - 1) * FULL)


@pytest.mark.parametrize("syntax", CODECS, ids=lambda syntax: syntax.keyword)
def test_compressed_film_reads_as_the_values_that_were_compressed(tmp_path, decode, syntax):
    bits = 8 if syntax == JPEGBaseline8Bit else 12
    pixels = gradient(bits).astype(np.uint8 if bits == 8 else np.uint16)
    film = read_dicom(save(radiograph(pixels, bits), tmp_path / "film.dcm", syntax), None, decode)
    worst = np.abs(film.pixels - displayed(pixels, bits)).max()
    assert worst <= (FULL / 255 if syntax in LOSSY else 0)


def test_uncompressed_film_reads_in_implicit_little_endian(tmp_path):
    path = save(radiograph(gradient()), tmp_path / "film.dcm", ImplicitVRLittleEndian)
    np.testing.assert_array_equal(read_film(path).pixels, displayed(gradient()))


def test_uncompressed_film_reads_in_big_endian(tmp_path):
    dataset = radiograph(gradient(), PixelData=gradient().astype(">u2").tobytes())
    path = save(dataset, tmp_path / "film.dcm", ExplicitVRBigEndian)
    np.testing.assert_array_equal(read_film(path).pixels, displayed(gradient()))


@pytest.mark.parametrize(
    "kind",
    [
        DigitalXRayImageStorageForPresentation,
        XRayRadiofluoroscopicImageStorage,
        SecondaryCaptureImageStorage,
    ],
)
def test_dx_rf_and_secondary_capture_are_films_too(tmp_path, kind):
    path = save(radiograph(gradient(), SOPClassUID=kind), tmp_path / "film.dcm")
    np.testing.assert_array_equal(read_film(path).pixels, displayed(gradient()))


@pytest.mark.parametrize("bits", [8, 10, 12, 15, 16])
def test_every_bit_depth_fills_the_display_range(tmp_path, bits):
    pixels = gradient(bits)
    film = read_film(save(radiograph(pixels, bits), tmp_path / "film.dcm"))
    assert film.pixels.dtype == np.uint16
    np.testing.assert_array_equal(film.pixels, displayed(pixels, bits))


def voi_lut(order):
    """A falling LUT of 4096 entries of 16 bits, as the bytes of words."""
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [4096, 0, 16], (65535 - 16 * np.arange(4096)).astype(order)
    item.LUTData = item.LUTData.tobytes()
    item["LUTData"].VR = "OW"
    return [item]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_voi_lut_in_words_is_read_in_the_files_byte_order(tmp_path, syntax):
    order = "<u2" if syntax.is_little_endian else ">u2"
    dataset = radiograph(
        gradient(), PixelData=gradient().astype(order).tobytes(), VOILUTSequence=voi_lut(order)
    )
    path = save(dataset, tmp_path / "film.dcm", syntax)
    np.testing.assert_array_equal(read_film(path).pixels, 65535 - 16 * gradient().astype(int))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_voi_lut_of_signed_values_may_begin_far_above_zero_after_the_rescale(tmp_path, syntax):
    item = voi_lut("<u2")[0]
    item.add_new("LUTDescriptor", "US", [4096, 40_000, 16])
    pixels = (gradient().astype(np.int32) + 40_000 - 32_768).astype(np.int16)
    rescale = {"RescaleSlope": 1, "RescaleIntercept": 32_768}
    dataset = radiograph(pixels, bits=16, VOILUTSequence=[item], **rescale)
    path = save(dataset, tmp_path / "film.dcm", syntax)
    np.testing.assert_array_equal(read_film(path).pixels, 65535 - 16 * gradient().astype(int))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("first", [("US", 65536 - 2048), ("SS", -2048)], ids=["US", "SS"])
def test_voi_lut_may_begin_below_zero_after_the_rescale(tmp_path, syntax, first):
    item = voi_lut("<u2")[0]
    item.add_new("LUTDescriptor", first[0], [4096, first[1], 16])
    dataset = radiograph(gradient(), VOILUTSequence=[item], RescaleSlope=1, RescaleIntercept=-2048)
    path = save(dataset, tmp_path / "film.dcm", syntax)
    np.testing.assert_array_equal(read_film(path).pixels, 65535 - 16 * gradient().astype(int))


def test_modality_transform_of_logarithmic_fluoroscopy_is_not_applied(tmp_path):
    rf = {"SOPClassUID": XRayRadiofluoroscopicImageStorage, "PixelIntensityRelationship": "LOG"}
    dataset = radiograph(gradient(), RescaleSlope=-3, RescaleIntercept=9000, **rf)
    np.testing.assert_array_equal(
        read_film(save(dataset, tmp_path / "film.dcm")).pixels, displayed(gradient())
    )


def test_window_around_zero_displays_signed_values(tmp_path):
    pixels = (gradient().astype(np.int32) - 2048).astype(np.int16)
    dataset = radiograph(pixels, WindowCenter=0, WindowWidth=4096)
    film = read_film(save(dataset, tmp_path / "film.dcm"))
    np.testing.assert_array_equal(film.pixels, displayed(gradient()))


def test_overlay_in_the_unused_bits_is_not_displayed(tmp_path):
    pixels = gradient()
    pixels[::3] |= 0x8000
    film = read_film(save(radiograph(pixels), tmp_path / "film.dcm"))
    np.testing.assert_array_equal(film.pixels, displayed(gradient()))


def test_one_of_several_frames_must_be_chosen_by_number(tmp_path, decode):
    frames = np.stack([gradient(), gradient()[::-1], gradient() // 2])
    for syntax in (None, *CODECS):
        if syntax in LOSSY:
            continue
        dataset = radiograph(frames)
        path = save(dataset, tmp_path / "run.dcm", *([syntax] if syntax else []))
        np.testing.assert_array_equal(read_dicom(path, 2, decode).pixels, displayed(frames[1]))
        with pytest.raises(FilmError, match="has 3 frames"):
            read_film(path)
        with pytest.raises(FilmError, match="has no frame 4; choose one of its 3"):
            read_dicom(path, frame=4)


def test_pixel_spacing_comes_with_the_film(tmp_path):
    path = save(radiograph(gradient(), PixelSpacing=[0.1, 0.2]), tmp_path / "film.dcm")
    assert read_film(path).spacing == (0.1, 0.2)


@pytest.mark.parametrize("spacing", [["0.000", "0.000"], ["1e9", "1"], ["-1", "1"], "", None])
def test_impossible_spacing_counts_as_unknown(tmp_path, spacing):
    path = save(radiograph(gradient(), PixelSpacing=spacing), tmp_path / "film.dcm")
    assert read_film(path).spacing is None


def test_detector_spacing_is_used_if_there_is_no_calibrated_one(tmp_path):
    dataset = radiograph(gradient(), PixelSpacing=None, ImagerPixelSpacing=[0.14, 0.14])
    assert read_film(save(dataset, tmp_path / "film.dcm")).spacing == (0.14, 0.14)


REFUSALS = {
    "CT Image Storage": {"SOPClassUID": CTImageStorage},
    "for processing": {"SOPClassUID": DigitalXRayImageStorageForProcessing},
    "no pixel data": {"PixelData": None},
    "not gray-scale .PhotometricInterpretation RGB": {"PhotometricInterpretation": "RGB"},
    "not gray-scale .*SamplesPerPixel 3": {"SamplesPerPixel": 3},
    "has no Rows": {"Rows": None},
    "Columns is 0": {"Columns": 0},
    "larger than any film": {"Rows": 65535, "Columns": 65535},
    "32 bits allocated": {"BitsAllocated": 32},
    "BitsStored is 17": {"BitsStored": 17},
    "HighBit": {"HighBit": 15},
    "NumberOfFrames is 0": {"NumberOfFrames": 0},
    "pixel data is damaged": {"Rows": 4000},
    "its window has a width of 0": {"WindowWidth": 0},
    "VOILUTFunction is unknown": {"VOILUTFunction": "CUBIC"},
    "RescaleSlope is 0": {"RescaleSlope": 0, "RescaleIntercept": 5},
    "one gray": {"WindowCenter": 90_000},
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_bad_header_is_refused_with_the_file_the_reason_and_the_remedy(tmp_path, reason):
    path = save(radiograph(gradient(), **REFUSALS[reason]), tmp_path / "odd.dcm")
    with pytest.raises(FilmError, match=reason) as refusal:
        read_film(path)
    assert refusal.value.where == path
    assert refusal.value.remedy
    assert NAME not in str(refusal.value)


@pytest.mark.parametrize(
    ("element", "vr", "reason"),
    [
        ("PhotometricInterpretation", "CS", "PhotometricInterpretation unknown"),
        ("SOPClassUID", "LO", "DICOM of an unknown kind"),
        ("VOILUTFunction", "CS", "VOILUTFunction is unknown"),
        ("RescaleSlope", "DS", "RescaleSlope is not a number"),
        ("RescaleSlope", "LO", "RescaleSlope is not a number"),
        ("Rows", "LO", "Rows is not a number"),
        ("VOILUTSequence", "LO", "VOILUTSequence is not a sequence"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_text_of_the_header_is_not_quoted(tmp_path, element, vr, reason):
    secret = f"{NAME}\x1b[2J"
    dataset = radiograph(gradient())
    dataset[element] = DataElement(element, vr, secret, already_converted=True)
    with pytest.raises(FilmError, match=reason) as refusal:
        read_film(save(dataset, tmp_path / "odd.dcm"))
    assert str(refusal.value).isprintable()
    assert NAME not in str(refusal.value)


def test_deflated_file_is_refused_before_it_is_inflated(tmp_path):
    dataset = radiograph(np.zeros((8000, 8000), np.uint16))
    path = save(dataset, tmp_path / "bomb.dcm", DeflatedExplicitVRLittleEndian)
    with pytest.raises(FilmError, match=r"bomb\.dcm: is deflated"):
        read_film(path)


def test_unsupported_encoding_is_named(tmp_path):
    content = encapsulate([bytes(100)])
    path = save(radiograph(gradient(), PixelData=content), tmp_path / "new.dcm", HTJ2K)
    with pytest.raises(FilmError, match="High-Throughput JPEG 2000"):
        read_film(path)


TWELVE_BITS = find_spec("libjpeg") is not None


def twelve_bit_jpeg(name):
    path = get_testdata_file(name, download=False)
    if not path:
        pytest.skip(f"{name} does not come with pydicom")
    return Path(path)


@pytest.mark.skipif(TWELVE_BITS, reason="the decoder of gdshare[jpeg12] is installed")
@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEG-lossy.dcm"])
def test_twelve_bit_jpeg_names_the_decoder_that_is_missing(name):
    with pytest.raises(FilmError, match=r"GPL.*gdshare\[jpeg12\]"):
        read_film(twelve_bit_jpeg(name))


needs_twelve_bits = pytest.mark.skipif(
    not TWELVE_BITS, reason="its decoder is under the GPL: pip install '.[jpeg12]'"
)


@needs_twelve_bits
def test_twelve_bit_jpeg_is_read_if_its_decoder_is_installed(tmp_path):
    assert read_film(twelve_bit_jpeg("JPGExtended.dcm")).shape == (1024, 256)
    plain, extended = save(radiograph(gradient()), tmp_path / "plain.dcm"), tmp_path / "jpeg.dcm"
    if shutil.which("dcmcjpeg") is None:
        pytest.skip("dcmcjpeg, which writes such files, is missing: install Debian's package dcmtk")
    subprocess.run(["dcmcjpeg", "+ee", plain, extended], check=True, capture_output=True)
    pixels = read_film(extended).pixels.astype(int)
    assert np.abs(pixels - displayed(gradient())).max() <= 2 * 65535 / 4095


@needs_twelve_bits
def test_twelve_bit_jpeg_that_breaks_its_own_rules_is_refused():
    with pytest.raises(FilmError, match="pixel data is damaged"):
        read_film(twelve_bit_jpeg("JPEG-lossy.dcm"))


def test_element_with_two_values_instead_of_one_is_refused(tmp_path):
    path = save(radiograph(gradient(), SOPClassUID=["1.2.3", "1.2.4"]), tmp_path / "odd.dcm")
    with pytest.raises(FilmError, match="not a CR, DX, RF or secondary capture film"):
        read_dicom(path)


def test_file_cut_anywhere_is_refused_or_read(tmp_path):
    whole = save(radiograph(gradient()), tmp_path / "film.dcm").read_bytes()
    path = tmp_path / "cut.dcm"
    for length in (*range(0, 400, 7), *range(400, len(whole), 97)):
        path.write_bytes(whole[:length])
        with pytest.raises(FilmError, match=r"cut\.dcm"):
            read_film(path)


def test_header_is_read_without_the_patients_name(tmp_path):
    from gdshare.films.dicom.header import read_dataset

    dataset = read_dataset(save(radiograph(gradient()), tmp_path / "film.dcm"))
    assert NAME not in str(dataset)
    assert "PatientID" not in dataset
    assert "StudyDate" not in dataset


def pydicom_films():
    names = ("6154", "6247", "6278")
    return [
        Path(get_testdata_file(f"dicomdirtests/77654033/CR{n}/{name}", download=False) or name)
        for n, name in enumerate(names, start=1)
    ]


@pytest.mark.parametrize("path", pydicom_films(), ids=lambda path: path.name)
def test_monochrome1_films_that_come_with_pydicom_are_inverted(path):
    if not path.is_file():
        pytest.skip(f"{path} does not come with pydicom")
    dataset = pydicom.dcmread(path)
    assert dataset.PhotometricInterpretation == "MONOCHROME1"
    stored = dataset.pixel_array.astype(float).ravel()
    bright = read_film(path).pixels.astype(float).ravel()
    assert np.corrcoef(stored, bright)[0, 1] < -0.99


@real_files
@pytest.mark.parametrize(
    ("name", "shape", "spacing"),
    [
        ("ljdata_RG1_J2KI_CR_chest_J2Klossy_mono1_15bit.dcm", (1955, 1841), None),
        ("ljdata_RG2_JLSL_CR_hip_JPEGLSlossless_mono2_10bit.dcm", (2140, 1760), (0.2, 0.2)),
        ("ljdata_RG2_JPLL_CR_hip_JPEGlosslessSV1_mono2_10bit.dcm", (2140, 1760), (0.2, 0.2)),
        ("ljdata_RG3_J2KR_CR_leg_J2Klossless_mono1_10bit.dcm", (1760, 1760), None),
        ("presidio_CR_chest_RLE_mono1_burnedPHI.dcm", (1760, 2140), (0.2, 0.2)),
    ],
)
def test_real_film_is_displayed_as_highdicom_displays_it(name, shape, spacing):
    from highdicom import imread

    film = read_film(REAL / name)
    assert (film.shape, film.spacing) == (shape, spacing)
    expected = imread(REAL / name).get_frame(
        1, apply_voi_transform=True, voi_output_range=(0.0, 1.0), apply_presentation_lut=True
    )
    assert np.abs(film.scaled() - expected).max() < 1e-4


@real_files
def test_two_encodings_of_one_real_film_give_the_same_pixels():
    first, second = (read_film(path) for path in sorted(REAL.glob("ljdata_RG2_*")))
    np.testing.assert_array_equal(first.pixels, second.pixels)


@real_files
def test_real_file_without_pixels_is_refused():
    with pytest.raises(FilmError, match="no pixel data"):
        read_film(REAL / "presidio_CR_nopixels.dcm")


def test_commands_that_read_pngs_do_not_load_pydicom():
    code = "import sys, gdshare.films; sys.exit('pydicom' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
