"""Reading one gray-scale film from a PNG, TIFF or DICOM file, or a mask from a PNG or TIFF."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from gdshare.errors import FilmError
from gdshare.films.bounds import require_pixels, too_large
from gdshare.films.value import Film

FORMATS = ("PNG", "TIFF")
DICOM_MARK = b"DICM"
DICOM_PREAMBLE = 128
_GRAY_8 = ("L",)
_GRAY_16 = ("I;16", "I;16B", "I;16L")
_PHOTOMETRIC = 262
_WHITE_IS_ZERO = 0


def read_film(path: Path, spacing_mm: float | None = None) -> Film:
    """Read an 8- or 16-bit gray-scale PNG or TIFF, or a radiograph in DICOM.

    Args:
        path: of the file; its content tells the format.
        spacing_mm: side of a pixel, where somebody knows it better than the file.

    Raises:
        FilmError: not there, not an image, truncated, colour, several pages, or absurdly large; of
            DICOM see ``gdshare.films.dicom``.
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
        if _white_is_zero(image):  # pillow inverts 8-bit films of this kind, but not 16-bit ones
            pixels = np.uint16(65535) - pixels
    else:
        raise FilmError(_not_gray(path, image.mode))
    return Film(pixels, str(path))


def read_mask(path: Path, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Read an organ mask: black outside, white inside; the threshold is half of the range.

    Args:
        path: a gray or 1-bit PNG or TIFF.
        shape: (height, width) of the film it was drawn on.

    Returns:
        bool [height, width], true inside the organ.

    Raises:
        FilmError: as ``read_film``; or another size than the film's; or nothing inside.
    """
    image = _open(path)
    if image.mode == "1":
        mask = np.asarray(image, dtype=np.bool_)
    elif image.mode in _GRAY_8:
        mask = np.asarray(image) > 127
    elif image.mode in _GRAY_16:
        mask = np.asarray(image) > 32767
    else:
        raise FilmError(_not_gray(path, image.mode))
    if mask.shape != shape:
        raise FilmError(
            f"the mask is {mask.shape[1]} x {mask.shape[0]} px but its film is "
            f"{shape[1]} x {shape[0]}",
            path,
            "export the mask at the film's own size",
        )
    if not mask.any():
        raise FilmError(
            "the mask marks no pixel as inside the organ",
            path,
            "outline the organ, or leave the mask column empty to keep the film for "
            "classification only",
        )
    return mask


def is_dicom(path: Path) -> bool:
    """PS3.10, 7.1; what cannot be opened is told by whoever reads it next."""
    try:
        with path.open("rb") as stream:
            return stream.read(DICOM_PREAMBLE + len(DICOM_MARK)).endswith(DICOM_MARK)
    except OSError:
        return False


def _open(path: Path) -> Image.Image:
    """Open and decode, with every fault of the file turned into one sentence."""
    try:
        # The stream is ours: on a damaged file pillow leaves its own open.
        with path.open("rb") as stream, warnings.catch_warnings():
            # The bound below replaces pillow's own, which warns first; what it says about odd
            # TIFF tags or trailing bytes does not concern the pixels.
            warnings.simplefilter("ignore")
            image = Image.open(stream, formats=FORMATS)
            require_pixels(path, image.height, image.width)
            if _has_second_page(image):
                raise FilmError("holds several pages", path, "export each film to its own file")
            image.load()
    except FilmError:
        raise
    except FileNotFoundError as error:
        raise FilmError("no such file", path, "check the path") from error
    except (IsADirectoryError, PermissionError) as error:
        raise FilmError(f"cannot be opened ({error.strerror})", path, "check the path") from error
    except Image.DecompressionBombError as error:
        raise FilmError(too_large(path)) from error
    except UnidentifiedImageError as error:
        raise FilmError("not a PNG, TIFF or DICOM image", path, "export the film as one") from error
    except Exception as error:  # pillow's decoders raise OSError, SyntaxError, struct.error, ...
        raise FilmError(
            f"the image is damaged or cut short ({error})", path, "export it again"
        ) from error
    return image


def _has_second_page(image: Image.Image) -> bool:
    """Never by counting them: a small file may hold a million, and pillow walks them all."""
    try:
        image.seek(1)
    except EOFError:
        return False
    return True


def _white_is_zero(image: Image.Image) -> bool:
    tags = getattr(image, "tag_v2", {})
    return bool(tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)


def _not_gray(path: Path, mode: str) -> str:
    return (
        f"{path}: not an 8- or 16-bit gray-scale image (pillow mode {mode}); "
        "export it as gray-scale, without colour or transparency"
    )
