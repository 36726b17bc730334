"""Reading one gray-scale film from a PNG, TIFF or DICOM file, or a mask from a PNG or TIFF."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from gdshare.errors import FilmError
from gdshare.films.bounds import require_pixels, too_large
from gdshare.films.quote import brief
from gdshare.films.value import Film

FORMATS = ("PNG", "TIFF")
DICOM_MAGIC = b"DICM"
DICOM_PREAMBLE = 128
_GRAY_8 = ("L",)
_GRAY_16 = ("I;16", "I;16B", "I;16L")
_PHOTOMETRIC_TAG, _WHITE_IS_ZERO = 262, 0


OUTLINE_IT = (
    "outline the organ, or leave the mask column empty to keep the film for classification only"
)
"""What to do about an empty mask."""


def read_film(path: Path, spacing_mm: float | None = None) -> Film:
    """Read an 8- or 16-bit gray-scale PNG or TIFF, or a DICOM radiograph.

    Args:
        path: the file; its content decides the format, not its name.
        spacing_mm: side of a pixel, mm; overrides the file's own spacing.

    Raises:
        FilmError: the file is missing, not an image, cut short, in colour, has several pages or is
            too large; for DICOM see ``gdshare.films.dicom.read_dicom``.
    """
    if is_dicom(path):
        from gdshare.films.dicom import read_dicom

        film = read_dicom(path)
    else:
        film = _read_raster(path)
    return film if spacing_mm is None else replace(film, spacing=(spacing_mm, spacing_mm))


def _read_raster(path: Path) -> Film:
    image = _open(path)
    if image.mode in _GRAY_8:
        pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] = np.asarray(image, dtype=np.uint8)
    elif image.mode in _GRAY_16:
        pixels = np.asarray(image).astype(np.uint16)
        if _white_is_zero(image):  # pillow inverts such films of 8 bits, but not of 16
            pixels = np.uint16(65535) - pixels
    else:
        raise _not_gray(path, image.mode)
    return Film(pixels, str(path))


def read_mask(path: Path, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Read an organ mask: black outside, white inside, split at half of the range.

    Args:
        path: a gray or 1-bit PNG or TIFF.
        shape: (height, width) of the film, px.

    Returns:
        bool [height, width], true inside the organ.

    Raises:
        FilmError: as ``read_film``; or the mask differs from the film in size, or is empty.
    """
    image = _open(path)
    if image.mode == "1":
        mask = np.asarray(image, dtype=np.bool_)
    elif image.mode in _GRAY_8:
        mask = np.asarray(image) > 127
    elif image.mode in _GRAY_16:
        mask = np.asarray(image) > 32767
    else:
        raise _not_gray(path, image.mode)
    if mask.shape != shape:
        raise FilmError(
            f"the mask is {mask.shape[1]} x {mask.shape[0]} px but its film is "
            f"{shape[1]} x {shape[0]}",
            path,
            "export the mask at the film's own size",
        )
    if not mask.any():
        raise FilmError("the mask marks no pixel as inside the organ", path, OUTLINE_IT)
    return mask


def is_dicom(path: Path) -> bool:
    """Whether the file begins as DICOM does (PS3.10, 7.1); False if it cannot be opened."""
    try:
        with path.open("rb") as stream:
            return stream.read(DICOM_PREAMBLE + len(DICOM_MAGIC)).endswith(DICOM_MAGIC)
    except OSError:
        return False


def _open(path: Path) -> Image.Image:
    """Open and decode an image; whatever is wrong with the file raises ``FilmError``."""
    try:
        # Pillow leaves a stream that it opened itself open when the file is damaged.
        with path.open("rb") as stream, warnings.catch_warnings():
            # ``require_pixels`` replaces pillow's size warning; its warnings about odd TIFF tags or
            # trailing bytes do not concern the pixels.
            warnings.simplefilter("ignore")
            image = Image.open(stream, formats=FORMATS)
            require_pixels(path, image.height, image.width)
            if _has_second_page(image):
                raise FilmError("has several pages", path, "export each film to its own file")
            image.load()
    except FilmError:
        raise
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise FilmError(f"cannot be opened ({error.strerror})", path, "check the path") from error
    except Image.DecompressionBombError as error:
        raise too_large(path) from error
    except UnidentifiedImageError as error:
        raise FilmError(
            "is not a PNG, TIFF or DICOM image", path, "export the film in one of these formats"
        ) from error
    except Exception as error:  # pillow's decoders raise OSError, SyntaxError, struct.error, ...
        raise FilmError(
            f"is damaged or cut short ({brief(error)})", path, "export it again"
        ) from error
    return image


def _has_second_page(image: Image.Image) -> bool:
    """Seek rather than count: a small file may have a million pages, and pillow reads them all."""
    try:
        image.seek(1)
    except EOFError:
        return False
    return True


def _white_is_zero(image: Image.Image) -> bool:
    tags = getattr(image, "tag_v2", {})
    return bool(tags.get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO)


def _not_gray(path: Path, mode: str) -> FilmError:
    return FilmError(
        f"is not an 8- or 16-bit gray-scale image (pillow mode {mode})",
        path,
        "export it as gray-scale, without colour or transparency",
    )
