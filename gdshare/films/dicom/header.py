"""The elements of a DICOM header that decide a film's pixels, checked before any is decoded.

Names and rules are those of PS3.3 (C.7.6.3, C.8.1, C.8.11) and PS3.5 (8.2). Only the requested
elements are read: a patient's name or birth date never reaches memory.
"""

from dataclasses import dataclass
from os import fstat
from pathlib import Path
from typing import BinaryIO, Literal

from pydicom import Dataset, dcmread, uid
from pydicom.datadict import keyword_for_tag
from pydicom.filereader import read_dataset as read_elements
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from gdshare.errors import FilmError, NotAFilmError
from gdshare.films.bounds import require_pixels
from gdshare.films.dicom.elements import EXPORT_AGAIN, integer_of, text_of
from gdshare.films.dicom.spacing import SPACING, spacing
from gdshare.films.signature import HEAD_BYTES, PREFIX, PREFIX_START, begins_as_dicom, has_preamble
from gdshare.plain_files import NotPlainError, open_plain

MAX_FILE_BYTES = 1024**3
"""Size of the largest file: four of the largest films, uncompressed."""
MAX_FRAMES = 10_000
META_GROUP = 0x0002
LEAVE = "leave it out"

_IMAGE = (
    "SOPClassUID",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PresentationLUTShape",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelIntensityRelationship",
    "PixelData",
)
_GRAY_SCALE = (
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
)

GRAY = ("MONOCHROME1", "MONOCHROME2")
COLOURS = ("RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
FILM_KINDS = {
    uid.ComputedRadiographyImageStorage: "CR",
    uid.DigitalXRayImageStorageForPresentation: "DX",
    uid.XRayRadiofluoroscopicImageStorage: "RF",
    uid.SecondaryCaptureImageStorage: "secondary capture",
    uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage: "secondary capture",
    uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage: "secondary capture",
}
ENCODINGS = frozenset(
    {
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.RLELossless,
        uid.JPEGBaseline8Bit,
        uid.JPEGExtended12Bit,
        uid.JPEGLossless,
        uid.JPEGLosslessSV1,
        uid.JPEGLSLossless,
        uid.JPEGLSNearLossless,
        uid.JPEG2000Lossless,
        uid.JPEG2000,
    }
)


@dataclass(frozen=True)
class Header:
    """The checked values of a film's header.

    Attributes:
        encoding: the transfer syntax.
        rows, columns: of a frame, px.
        frames: number of frames in the file.
        allocated: bits allocated to a pixel, 8 or 16.
        stored: bits of these that hold its value, 2 to 16.
        signed: values are in two's complement.
        inverted: the smallest value is white.
        for_display: fluoroscopy with values that skip the modality transform (PS3.4, N.2.1.2).
        spacing: distance between pixel centres (down, across), mm; None if not stated.
        overlays: the bits of a pixel that belong to overlays.
    """

    encoding: UID
    rows: int
    columns: int
    frames: int
    allocated: Literal[8, 16]
    stored: int
    signed: bool
    inverted: bool
    for_display: bool
    spacing: tuple[float, float] | None
    overlays: int = 0

    @property
    def big_endian(self) -> bool:
        """Byte order of words in the file."""
        return not self.encoding.is_little_endian


def tags(names: tuple[str, ...]) -> list[BaseTag]:
    """The tags of the given keywords (PS3.6)."""
    return [Tag(name) for name in names]


OVERLAY_BITS = [Tag(group, 0x0102) for group in range(0x6000, 0x6020, 2)]
"""Overlay Bit Position (C.9.2) of each overlay."""
FILM_TAGS = tags(_IMAGE + _GRAY_SCALE + SPACING) + OVERLAY_BITS
"""The elements that ``header_of`` and ``present`` need."""


def read_dataset(path: Path, elements: list[BaseTag] = FILM_TAGS) -> Dataset:
    """Read these elements of a DICOM file, and no others.

    A file without preamble is read too, and without file meta information if it is not compressed.

    Raises:
        FilmError: the file is missing, too large, not DICOM, deflated, or damaged.
    """
    try:
        with open_plain(path) as stream:
            if fstat(stream.fileno()).st_size > MAX_FILE_BYTES:
                raise FilmError(
                    f"is larger than {MAX_FILE_BYTES // 1024**2} MB",
                    path,
                    "export each frame to its own file",
                )
            _require_plain(stream, path)
            dataset = dcmread(stream, specific_tags=list(elements), force=True)
    except FilmError:
        raise
    except (FileNotFoundError, NotPlainError, PermissionError) as error:
        raise FilmError(f"cannot be opened ({error.strerror})", path, "check the path") from error
    except Exception as error:  # pydicom raises struct.error, KeyError, ValueError, ...
        raise FilmError("is not DICOM, or is damaged", path, EXPORT_AGAIN) from error
    _convert(dataset, path)
    if not text_of(dataset.file_meta, "TransferSyntaxUID"):
        dataset.file_meta.TransferSyntaxUID = _guessed_encoding(dataset, path)
    return dataset


def _require_plain(stream: BinaryIO, path: Path) -> None:
    """Refuse what is not DICOM and, since pydicom inflates without a limit, what is deflated."""
    head = stream.read(HEAD_BYTES)
    if not begins_as_dicom(head):
        raise FilmError("is not DICOM, or is damaged", path, EXPORT_AGAIN)
    stream.seek(PREFIX_START + len(PREFIX) if has_preamble(head) else 0)
    meta = read_elements(stream, False, True, stop_when=lambda tag, *_: tag.group != META_GROUP)
    if text_of(meta, "TransferSyntaxUID") == uid.DeflatedExplicitVRLittleEndian:
        raise FilmError(
            "is deflated as a whole, which is not supported", path, "export it uncompressed"
        )
    stream.seek(0)


def _convert(dataset: Dataset, path: Path) -> None:
    """Convert every value, which pydicom does on first access, here, where errors are caught."""
    for part in (dataset.file_meta, dataset):
        for tag in list(part.keys()):
            try:
                element = part[tag]
                for item in element.value if element.VR == "SQ" else ():
                    _drop_half_lut(item)
                    for _ in item.iterall():
                        pass
            except Exception as error:  # pydicom raises struct.error, KeyError, ValueError, ...
                raise FilmError(
                    f"its {keyword_for_tag(tag)} cannot be read", path, EXPORT_AGAIN
                ) from error


def _drop_half_lut(item: Dataset) -> None:
    """Delete a LUT with an empty descriptor, of which pydicom would derive the VR of its data."""
    descriptor = tags(("LUTDescriptor",))[0]
    if descriptor in item and not item.get_item(descriptor).value:
        for tag in tags(("LUTDescriptor", "LUTData")):
            item.pop(tag, None)


def _guessed_encoding(dataset: Dataset, path: Path) -> UID:
    """The transfer syntax of a file that does not say it, from the way its elements are written."""
    if "PixelData" in dataset and dataset["PixelData"].is_undefined_length:
        raise FilmError(
            "is compressed, but does not say how (TransferSyntaxUID)",
            path,
            "export it uncompressed",
        )
    implicit, little = dataset.original_encoding
    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian


def header_of(dataset: Dataset, path: Path) -> Header:
    """Check the elements that decide the pixels.

    Args:
        dataset: with the elements of ``FILM_TAGS``.
        path: the film's path, for messages.

    Raises:
        FilmError: not a radiograph for viewing, no pixels, colour, or an element that is missing,
            malformed or out of range; the message names the element.
    """
    try:
        header = _checked(dataset)
    except FilmError as error:
        raise error.at(path) from error
    require_pixels(path, header.rows, header.columns)
    return header


def _checked(dataset: Dataset) -> Header:
    kind, encoding = _kind(dataset), _encoding(dataset)
    if "PixelData" not in dataset or not dataset["PixelData"].value:
        raise FilmError("has no pixel data", remedy="export the image together with its header")
    _require_gray(dataset)
    rows, columns = (_integer(dataset, name, 1, 2**16 - 1) for name in ("Rows", "Columns"))
    allocated = _integer(dataset, "BitsAllocated", 1, 64)
    if allocated not in (8, 16):
        raise FilmError(
            f"has {allocated} bits allocated to a pixel", remedy="export it with 8 or 16"
        )
    stored = _integer(dataset, "BitsStored", 2, allocated)
    if _integer(dataset, "HighBit", 0, 63) != stored - 1:
        raise FilmError("its values do not start at the lowest bit (HighBit)", remedy=EXPORT_AGAIN)
    return Header(
        encoding,
        rows,
        columns,
        _integer(dataset, "NumberOfFrames", 1, MAX_FRAMES, default=1),
        8 if allocated == 8 else 16,
        stored,
        _integer(dataset, "PixelRepresentation", 0, 1) == 1,
        # DX adds PresentationLUTShape INVERSE to MONOCHROME1 (C.8.11.3); either means inverted.
        text_of(dataset, "PhotometricInterpretation") == "MONOCHROME1"
        or text_of(dataset, "PresentationLUTShape") == "INVERSE",
        kind == uid.XRayRadiofluoroscopicImageStorage
        and text_of(dataset, "PixelIntensityRelationship") in ("LOG", "DISP"),
        spacing(dataset),
        _overlays(dataset),
    )


def _overlays(dataset: Dataset) -> int:
    positions = (dataset[tag].value for tag in OVERLAY_BITS if tag in dataset)
    return sum({1 << place for place in positions if isinstance(place, int) and 0 < place < 16})


def _kind(dataset: Dataset) -> UID:
    kind = UID(text_of(dataset, "SOPClassUID"))
    media = text_of(dataset.file_meta, "MediaStorageSOPClassUID")
    if media == uid.MediaStorageDirectoryStorage:
        raise NotAFilmError("is the index of a DICOM medium (DICOMDIR), not a film", remedy=LEAVE)
    if not kind:
        raise FilmError("its header has no SOPClassUID", remedy=EXPORT_AGAIN)
    if kind == uid.DigitalXRayImageStorageForProcessing:
        raise FilmError(
            "contains raw detector values (DX for processing), not an image for viewing",
            remedy="export the image for presentation",
        )
    if kind not in FILM_KINDS:
        # The name of a UID that pydicom does not know is the header's own text.
        name = "DICOM of an unknown kind" if kind.name == str(kind) else kind.name
        raise NotAFilmError(f"is {name}, not a CR, DX, RF or secondary capture film", remedy=LEAVE)
    return kind


def _encoding(dataset: Dataset) -> UID:
    encoding = UID(text_of(dataset.file_meta, "TransferSyntaxUID"))
    if encoding not in ENCODINGS:
        name = "" if encoding.name == str(encoding) else f" {encoding.name}"
        raise FilmError(f"its encoding{name} is not supported", remedy="export it uncompressed")
    return encoding


def _require_gray(dataset: Dataset) -> None:
    colour = text_of(dataset, "PhotometricInterpretation")
    samples = _integer(dataset, "SamplesPerPixel", 1, 4, default=1)
    if colour not in GRAY or samples != 1:
        name = colour if colour in (*GRAY, *COLOURS) else "unknown"
        raise FilmError(
            f"is not gray-scale (PhotometricInterpretation {name}, SamplesPerPixel {samples})",
            remedy="export it as MONOCHROME2",
        )


def _integer(dataset: Dataset, name: str, least: int, most: int, default: int | None = None) -> int:
    number = integer_of(dataset, name, least, most)
    number = default if number is None else number
    if number is None:
        raise FilmError(f"its header has no {name}", remedy=EXPORT_AGAIN)
    return number
