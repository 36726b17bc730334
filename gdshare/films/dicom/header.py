"""The elements of a DICOM header that decide a film's pixels, checked before any is decoded.

Names and rules are those of PS3.3 (C.7.6.3, C.8.1, C.8.11) and PS3.5 (8.2). Only the requested
elements are read: a patient's name or birth date never reaches memory.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydicom import Dataset, dcmread, uid
from pydicom.filereader import read_file_meta_info
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from gdshare.errors import FilmError
from gdshare.films.bounds import require_pixels
from gdshare.films.dicom.spacing import SPACING, spacing
from gdshare.films.quote import brief, printable

MAX_FILE_BYTES = 1024**3
"""Size of the largest file: four of the largest films, uncompressed."""
MAX_FRAMES = 10_000

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


def tags(names: tuple[str, ...]) -> list[BaseTag]:
    """The tags of the given keywords (PS3.6)."""
    return [Tag(name) for name in names]


FILM_TAGS = tags(_IMAGE + _GRAY_SCALE + SPACING)
"""The elements that ``header_of`` and ``present`` need."""


def read_dataset(path: Path, elements: list[BaseTag] = FILM_TAGS) -> Dataset:
    """Read these elements of a DICOM file, and no others.

    Raises:
        FilmError: the file is missing, too large, not DICOM, deflated, or damaged.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise FilmError(
                f"is larger than {MAX_FILE_BYTES // 1024**2} MB",
                path,
                "export each frame to its own file",
            )
        meta = read_file_meta_info(path)
        # Checked before the rest is read: pydicom inflates without a limit.
        if meta.get("TransferSyntaxUID") == uid.DeflatedExplicitVRLittleEndian:
            raise FilmError(
                "is deflated as a whole, which is not supported", path, "export it uncompressed"
            )
        dataset = dcmread(path, specific_tags=list(elements))
        for _ in dataset.iterall():
            pass  # pydicom converts a value on first access: do it here, where errors are caught
        return dataset
    except FilmError:
        raise
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise FilmError(f"cannot be opened ({error.strerror})", path, "check the path") from error
    except Exception as error:  # pydicom raises struct.error, KeyError, ValueError, ...
        raise FilmError(
            f"is not DICOM, or is damaged ({brief(error)})", path, "export it again"
        ) from error


def header_of(dataset: Dataset, path: Path) -> Header:
    """Check the elements that decide the pixels.

    Args:
        dataset: with the elements of ``FILM_TAGS``.
        path: the film's path, for messages.

    Raises:
        FilmError: not a radiograph for viewing, no pixels, colour, or an element that is missing,
            malformed or out of range; the message names the element.
    """
    kind, encoding = _kind(dataset, path), _encoding(dataset, path)
    if "PixelData" not in dataset or not dataset["PixelData"].value:
        raise FilmError("has no pixel data", path, "export the image together with its header")
    _require_gray(dataset, path)
    rows, columns = (_integer(dataset, path, name, 1, 2**16 - 1) for name in ("Rows", "Columns"))
    require_pixels(path, rows, columns)
    allocated = _integer(dataset, path, "BitsAllocated", 1, 64)
    if allocated not in (8, 16):
        raise FilmError(
            f"has {allocated} bits allocated to a pixel", path, "export it with 8 or 16"
        )
    stored = _integer(dataset, path, "BitsStored", 2, allocated)
    if _integer(dataset, path, "HighBit", 0, 63) != stored - 1:
        raise FilmError(
            "its values do not start at the lowest bit (HighBit)", path, "export it again"
        )
    return Header(
        encoding,
        rows,
        columns,
        _integer(dataset, path, "NumberOfFrames", 1, MAX_FRAMES, default=1),
        8 if allocated == 8 else 16,
        stored,
        _integer(dataset, path, "PixelRepresentation", 0, 1) == 1,
        # DX adds PresentationLUTShape INVERSE to MONOCHROME1 (C.8.11.3); either means inverted.
        _text(dataset.get("PhotometricInterpretation")) == "MONOCHROME1"
        or _text(dataset.get("PresentationLUTShape")) == "INVERSE",
        kind == uid.XRayRadiofluoroscopicImageStorage
        and _text(dataset.get("PixelIntensityRelationship")) in ("LOG", "DISP"),
        spacing(dataset),
    )


def _kind(dataset: Dataset, path: Path) -> UID:
    kind = UID(_text(dataset.get("SOPClassUID")))
    if kind == uid.DigitalXRayImageStorageForProcessing:
        raise FilmError(
            "contains raw detector values (DX for processing), not an image for viewing",
            path,
            "export the image for presentation",
        )
    if kind not in FILM_KINDS:
        raise FilmError(
            f"is {printable(kind.name)}, not a CR, DX, RF or secondary capture film",
            path,
            "leave it out",
        )
    return kind


def _encoding(dataset: Dataset, path: Path) -> UID:
    encoding = UID(_text(dataset.file_meta.get("TransferSyntaxUID")))
    if encoding not in ENCODINGS:
        raise FilmError(
            f"its encoding {printable(encoding.name)} is not supported",
            path,
            "export it uncompressed",
        )
    return encoding


def _text(value: object) -> str:
    """The text of a single-valued element, which in a damaged file may have several or none."""
    return "" if value is None else str(value)


def _require_gray(dataset: Dataset, path: Path) -> None:
    colour = _text(dataset.get("PhotometricInterpretation"))
    samples = dataset.get("SamplesPerPixel", 1)
    if colour not in ("MONOCHROME1", "MONOCHROME2") or samples != 1:
        raise FilmError(
            f"is not gray-scale (PhotometricInterpretation {printable(colour)}, "
            f"SamplesPerPixel {printable(str(samples))})",
            path,
            "export it as MONOCHROME2",
        )


def _integer(
    dataset: Dataset, path: Path, name: str, least: int, most: int, default: int | None = None
) -> int:
    value = dataset.get(name, default)
    if value is None:
        raise FilmError(f"its header has no {name}", path, "export it again")
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = least - 1
    if not least <= number <= most:
        raise FilmError(
            f"{name} is {printable(str(value))}, not a whole number from {least} to {most}",
            path,
            "export it again",
        )
    return number
