"""Reading one film from a DICOM file."""

from dataclasses import dataclass, replace
from pathlib import Path
from warnings import catch_warnings, simplefilter

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from gdshare.errors import FilmError
from gdshare.films.dicom.decoder import decode_apart
from gdshare.films.dicom.header import Header, header_of, read_dataset
from gdshare.films.dicom.presentation import present
from gdshare.films.dicom.stored import Decode, has_stray_bits, stored_values
from gdshare.films.value import Film


def read_dicom(path: Path, frame: int | None = None, decode: Decode = decode_apart) -> Film:
    """Read a CR, DX, RF or secondary capture film as a radiologist sees it.

    Modality and VOI transforms are applied; MONOCHROME1 is inverted, so that larger is brighter.

    Args:
        path: uncompressed, RLE, JPEG baseline, JPEG lossless, JPEG-LS or JPEG 2000, 2 to 16 bits.
        frame: frame number from 1; None if the file has a single frame.
        decode: decodes a compressed frame.

    Returns:
        the film, uint16 [rows, columns], with its pixel spacing if the header states it.

    Raises:
        FilmError: the file is missing, damaged, not such a film, or has several frames and
            ``frame`` is None.
    """
    with catch_warnings():
        simplefilter("ignore")  # pydicom warns about every element that violates the standard
        dataset = read_dataset(path)
        header = header_of(dataset, path)
        if frame is None and header.frames > 1:
            raise FilmError(f"has {header.frames} frames", path, "give the film's number, from 1")
        shown = display(dataset, header, path, frame or 1, decode)
        return Film(shown.pixels, str(path), header.spacing)


@dataclass(frozen=True)
class Displayed:
    """One frame, as a radiologist sees it.

    Attributes:
        pixels: uint16 [rows, columns]; 0 is black, 65535 white.
        stray_bits: its values have more bits than its header says; the others are not displayed.
    """

    pixels: npt.NDArray[np.uint16]
    stray_bits: bool


def display(dataset: Dataset, header: Header, path: Path, frame: int, decode: Decode) -> Displayed:
    """Decode one frame and display it.

    Args:
        dataset: with the elements of ``FILM_TAGS``.
        header: the header of ``dataset``.
        path: the film's path, for messages.
        frame: frame number, from 1.
        decode: decodes a compressed frame.

    Raises:
        FilmError: the frame is missing or damaged, or a transform is malformed.
    """
    stored, bits = stored_values(dataset, header, path, frame, decode)
    pixels = present(stored, dataset, replace(header, stored=bits), path)
    return Displayed(pixels, has_stray_bits(stored, header))
