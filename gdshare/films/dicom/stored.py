"""The stored values of one frame, decoded.

Uncompressed frames are read here. Compressed frames are decoded in a separate process
(``decoder``), since the codecs are C and C++ and their input is untrusted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.encaps import generate_fragments, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import RLELossless

from gdshare.errors import FilmError
from gdshare.films.dicom.codestream import begins_codestream, read_codestream
from gdshare.films.dicom.elements import EXPORT_AGAIN
from gdshare.films.dicom.header import Header

Stored = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Frame:
    """Everything a codec needs to decode one compressed frame, and nothing about the patient.

    Attributes:
        encoding: UID of the transfer syntax.
        rows, columns: px.
        allocated, stored: bits per pixel, as in ``Header``.
        signed: values are in two's complement.
        content: the compressed frame.
    """

    encoding: str
    rows: int
    columns: int
    allocated: int
    stored: int
    signed: bool
    content: bytes


Decode = Callable[[Frame], Stored]
"""Compressed frame -> stored values [rows, columns]; raises ``FilmError`` without a path."""


def decoder_options(image: Header | Frame, frames: int = 1) -> dict[str, Any]:
    """The keyword arguments of pydicom's decoders."""
    return {
        "rows": image.rows,
        "columns": image.columns,
        "number_of_frames": frames,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",  # ``presentation`` inverts
        "bits_allocated": image.allocated,
        "bits_stored": image.stored,
        "pixel_representation": int(image.signed),
        "pixel_keyword": "PixelData",
        "correct_unused_bits": False,
    }


def stored_values(
    dataset: Dataset, header: Header, path: Path, frame: int, decode: Decode
) -> tuple[Stored, int]:
    """Decode one frame.

    Args:
        dataset: with its pixel data.
        header: the header of ``dataset``.
        path: the film's path, for messages.
        frame: frame number, from 1.
        decode: decodes a compressed frame.

    Returns:
        int or uint [rows, columns], in which the bits above those stored are arbitrary; and the
        number of stored bits, which a codestream may narrow.

    Raises:
        FilmError: no such frame, or the pixel data is damaged or differs from the header.
    """
    if not 1 <= frame <= header.frames:
        raise FilmError(
            f"has no frame {frame}", path, f"choose one of its {header.frames}, counted from 1"
        )
    try:
        if header.encoding.is_compressed:
            content = _frame(dataset, header, frame)
            return decode(content), min(header.stored, _precision(content))
        return _plain(dataset, header, frame), header.stored
    except FilmError as error:
        raise error.at(path) from error
    except Exception as error:  # pydicom raises AttributeError, ValueError, struct.error, ...
        raise FilmError("its pixel data is damaged", path, EXPORT_AGAIN) from error


def has_stray_bits(stored: Stored, header: Header) -> bool:
    """Whether bits above those stored are set that neither repeat the sign nor are an overlay's.

    They are not displayed (PS3.5, 8.1.1), but the header may state too few bits.
    """
    if header.encoding.is_compressed and header.encoding != RLELossless:
        return False  # a codestream's values were held against the header
    unused = 0xFFFF & ~header.overlays & ~((1 << header.stored) - 1)
    above = stored.astype(np.int32) & unused
    if not header.signed:
        return bool(above.any())
    negative = (stored >> (header.stored - 1)) & 1 == 1
    return bool(((above != 0) & ~((above == unused) & negative)).any())


def _plain(dataset: Dataset, header: Header, frame: int) -> Stored:
    size = header.rows * header.columns * header.allocated // 8
    length, claimed = len(dataset.PixelData), size * header.frames
    # A byte or more of padding is common; a row, a column or a frame is another image.
    surplus = min(header.rows, header.columns) * header.allocated // 8
    if dataset["PixelData"].is_undefined_length or not 0 <= length - claimed < max(surplus, 2):
        raise FilmError(
            f"its pixel data is damaged ({length:,} bytes, but its header describes {claimed:,})",
            remedy=EXPORT_AGAIN,
        )
    values, _ = get_decoder(header.encoding).as_array(
        dataset.PixelData,
        index=frame - 1,
        raw=True,
        **decoder_options(header, header.frames) | {"pixel_vr": dataset["PixelData"].VR},
    )
    return values


def _frame(dataset: Dataset, header: Header, frame: int) -> Frame:
    starts = sum(map(begins_codestream, generate_fragments(dataset.PixelData)))
    if starts > header.frames:
        raise FilmError(
            f"its pixel data has {starts} frames, but its header says {header.frames}",
            remedy=EXPORT_AGAIN,
        )
    content = get_frame(dataset.PixelData, frame - 1, number_of_frames=header.frames)
    return Frame(
        str(header.encoding),
        header.rows,
        header.columns,
        header.allocated,
        header.stored,
        header.signed,
        content,
    )


def _precision(frame: Frame) -> int:
    """The bits of a value in the codestream; in RLE, those of the header."""
    stream = read_codestream(frame.content)
    return frame.stored if stream is None else stream.precision
