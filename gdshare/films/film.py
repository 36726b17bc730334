"""Reading one gray-scale film from a PNG, TIFF or DICOM file."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gdshare.errors import FilmError
from gdshare.films.picture import Picture, read_picture
from gdshare.films.signature import is_dicom
from gdshare.films.value import LEAST_RANGE, Film, range_used

log = logging.getLogger(__name__)


def read_film(path: Path, spacing_mm: float | None = None) -> Film:
    """Read a gray-scale PNG or TIFF of 2 to 16 bits, or a DICOM radiograph.

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
        film = _film(read_picture(path), path)
    return film if spacing_mm is None else replace(film, spacing=(spacing_mm, spacing_mm))


def _film(picture: Picture, path: Path) -> Film:
    """The picture's values, spread over the range of their type."""
    if picture.classes or picture.bits is None or picture.bits == 1:
        raise FilmError(
            "is not gray-scale of 2 to 16 bits, but may be a mask",
            path,
            "export the film as gray-scale of 8 or 16 bits",
        )
    dtype: type[np.uint8 | np.uint16] = np.uint8 if picture.bits <= 8 else np.uint16
    levels = np.linspace(0, np.iinfo(dtype).max, 2**picture.bits)
    shades: npt.NDArray[Any] = np.rint(levels).astype(dtype)
    return Film(shades[picture.values], str(path))


def warn_of_narrow_range(film: Film) -> None:
    """Warn of a film that looks all black, white or gray; a store holds such a film for a review.

    Programs that write values of 12 bits into 16 without saying so make such films.
    """
    used = range_used(film.pixels)
    if used < LEAST_RANGE:
        log.warning(
            "warning: %s uses %.1f%% of the range from black to white, so it looks all black, "
            "white or gray; compare it with the original",
            film.name,
            100 * used,
        )
