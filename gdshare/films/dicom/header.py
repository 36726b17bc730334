"""The few values of a DICOM header that decide a film's pixels, checked before any is decoded.

Names and rules are those of PS3.3 (C.7.6.3, C.8.1, C.8.11) and PS3.5 (8.2). Elements that nobody
asks for are not read: not even into memory come a patient's name or birth date.
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

MAX_FILE_BYTES = 1024**3
"""The largest file read: four of the largest films, uncompressed."""
MAX_FRAMES = 10_000

IMAGE = (
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
GRAY_SCALE = (
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
)

FILMS = {
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
    """What a film's header says, checked.

    Attributes:
        encoding: the transfer syntax.
        rows, columns: of a frame, px.
        frames: how many the file holds.
        allocated: bits a pixel occupies, 8 or 16.
        stored: bits of them that hold its value, 2 to 16.
        signed: the value is in two's complement.
        inverted: the smallest value is shown white.
        for_display: fluoroscopy whose values go to the VOI transform as they are stored.
        spacing: (down, across) of a pixel, mm; None: the header does not tell.
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
    """Keywords of PS3.6 as tags."""
    return [Tag(name) for name in names]


WANTED = tags(IMAGE + GRAY_SCALE + SPACING)


def read_dataset(path: Path, wanted: list[BaseTag] = WANTED) -> Dataset:
    """Read the wanted elements of a DICOM file, and no others.

    Raises:
        FilmError: not there, too large, not DICOM, deflated, or damaged.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise FilmError(
                f"larger than {MAX_FILE_BYTES // 1024**2} MB", path, "export its frames singly"
            )
        meta = read_file_meta_info(path)
        # Before the rest is read: inflating knows no bound.
        if meta.get("TransferSyntaxUID") == uid.DeflatedExplicitVRLittleEndian:
            raise FilmError(
                "deflated as a whole, which a film never needs", path, "export it uncompressed"
            )
        dataset = dcmread(path, specific_tags=list(wanted))
        for _ in dataset.iterall():
            pass  # values are converted when they are met: here, where a fault of theirs is told
        return dataset
    except FilmError:
        raise
    except FileNotFoundError as error:
        raise FilmError("no such file", path, "check the path") from error
    except (IsADirectoryError, PermissionError) as error:
        raise FilmError(f"cannot be opened ({error.strerror})", path, "check the path") from error
    except Exception as error:  # pydicom raises what it stumbles over: struct, key, value, ...
        raise FilmError(
            f"not DICOM, or damaged ({_told(error)})", path, "export it again"
        ) from error


def header_of(dataset: Dataset, path: Path) -> Header:
    """Check what decides the pixels.

    Args:
        dataset: with the elements of ``WANTED``.
        path: what to call the film in a message.

    Raises:
        FilmError: not a radiograph for viewing, no pixels, colour, or a value that is missing,
            malformed or out of bounds; it names the element.
    """
    kind = UID(_text(dataset.get("SOPClassUID")))
    if kind == uid.DigitalXRayImageStorageForProcessing:
        raise FilmError(
            "raw detector values (DX for processing), not meant to be looked at",
            path,
            "export the image for presentation",
        )
    if kind not in FILMS:
        what = kind.name[:60] or "an unnamed object"
        raise FilmError(f"{what}, not a CR, DX, RF or secondary capture film", path, "leave it out")
    encoding = UID(_text(dataset.file_meta.get("TransferSyntaxUID")))
    if encoding not in ENCODINGS:
        name = encoding.name[:60] or "not told"
        raise FilmError(f"its encoding ({name}) is not read", path, "export it uncompressed")
    if "PixelData" not in dataset or not dataset["PixelData"].value:
        raise FilmError("holds no pixel data", path, "export the image together with its header")
    _require_gray(dataset, path)
    rows, columns = (_whole(dataset, path, name, 1, 2**16 - 1) for name in ("Rows", "Columns"))
    require_pixels(path, rows, columns)
    allocated = _whole(dataset, path, "BitsAllocated", 1, 64)
    if allocated not in (8, 16):
        raise FilmError(f"{allocated} bits allocated to a pixel", path, "8 and 16 are read")
    stored = _whole(dataset, path, "BitsStored", 2, allocated)
    if _whole(dataset, path, "HighBit", 0, 63) != stored - 1:
        raise FilmError(
            "its values do not begin at the lowest bit (HighBit)", path, "export it again"
        )
    return Header(
        encoding,
        rows,
        columns,
        _whole(dataset, path, "NumberOfFrames", 1, MAX_FRAMES, missing=1),
        8 if allocated == 8 else 16,
        stored,
        _whole(dataset, path, "PixelRepresentation", 0, 1) == 1,
        # MONOCHROME1 is the older way to say it, INVERSE DX's, where both go together (C.8.11.3).
        _text(dataset.get("PhotometricInterpretation")) == "MONOCHROME1"
        or _text(dataset.get("PresentationLUTShape")) == "INVERSE",
        kind == uid.XRayRadiofluoroscopicImageStorage
        and _text(dataset.get("PixelIntensityRelationship")) in ("LOG", "DISP"),
        spacing(dataset),
    )


def _text(value: object) -> str:
    """An element that should have one value, and in a damaged file may have several, or none."""
    return "" if value is None else str(value)


def _require_gray(dataset: Dataset, path: Path) -> None:
    colour = _text(dataset.get("PhotometricInterpretation"))
    if colour not in ("MONOCHROME1", "MONOCHROME2") or dataset.get("SamplesPerPixel", 1) != 1:
        raise FilmError(
            f"not gray-scale (PhotometricInterpretation {colour!s:.40})",
            path,
            "export it as MONOCHROME2",
        )


def _whole(
    dataset: Dataset, path: Path, name: str, least: int, most: int, missing: int | None = None
) -> int:
    value = dataset.get(name, missing)
    if value is None:
        raise FilmError(f"its header lacks {name}", path, "export it again")
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = least - 1
    if not least <= number <= most:
        raise FilmError(
            f"{name} is {value!s:.40}, not a whole number from {least} to {most}",
            path,
            "export it again",
        )
    return number


def _told(error: Exception) -> str:
    """What pydicom said, short: it may quote a damaged header at length."""
    return f"{type(error).__name__}: {error}"[:120].replace("\n", " ")
