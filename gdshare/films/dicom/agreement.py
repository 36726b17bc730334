"""A compressed frame held against what the header says about it.

PS3.5, 8.2.1: where the two differ, the codestream prevails. It is therefore decoded as it describes
itself, whatever transfer syntax and bits the header states. The film is refused if the size or the
number of components differ, or if a value is another number when read as the header says: window,
LUTs, spacing and outlines then belong to another image.
"""

from dataclasses import replace

import numpy as np
from pydicom.uid import (
    JPEG2000,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    RLELossless,
)

from gdshare.errors import FilmError
from gdshare.films.dicom.codestream import Codestream, read_codestream, rle_segments
from gdshare.films.dicom.stored import Frame, Stored

MAX_BITS = 16
LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000)
LOSSY_SLACK = 4
"""A lossy codec rings: at an edge its values leave the range of the stored bits by a part of it."""
_REMEDY = "export it again, uncompressed"


def as_coded(frame: Frame) -> tuple[Frame, bool | None]:
    """The frame as its codestream describes it, and whether its values are signed, if it says so.

    Raises:
        FilmError: it is damaged, or differs from the header in a way that cannot be followed.
    """
    try:
        stream = read_codestream(frame.content)
        if stream is None:
            _require_rle(frame)
            return frame, None
    except ValueError as error:
        raise damaged(str(error)) from error
    _require_same_image(stream, frame)
    return replace(
        frame,
        encoding=str(stream.encoding),
        allocated=8 if stream.precision <= 8 else 16,
        stored=stream.precision,
        signed=bool(stream.signed),
        content=frame.content[stream.start :],
    ), stream.signed


def _require_rle(frame: Frame) -> None:
    if frame.encoding != RLELossless:
        raise damaged("its codestream is of no known kind")
    segments, needed = rle_segments(frame.content), max(1, frame.allocated // 8)
    if segments != needed:
        raise _differs(f"has {segments} RLE segments", f"describes {needed}")


def _require_same_image(stream: Codestream, frame: Frame) -> None:
    if stream.components != 1:
        raise _differs(f"has {stream.components} colour components", "describes a gray film")
    if (stream.rows, stream.columns) != (frame.rows, frame.columns):
        raise _differs(
            f"is {stream.columns} x {stream.rows} px", f"says {frame.columns} x {frame.rows}"
        )
    if not 1 < stream.precision <= MAX_BITS:
        raise _differs(f"has values of {stream.precision} bits", f"says {frame.stored}")


def as_header_says(values: Stored, coded: Frame, signed: bool | None, frame: Frame) -> Stored:
    """The decoded values, if they are the same numbers when read with the header's bits and sign.

    Args:
        values: as decoded from ``coded``.
        coded, signed: from ``as_coded``.
        frame: as the header describes it.

    Returns:
        the values; of a lossy codec, with what rounding left just outside the range clipped to it.

    Raises:
        FilmError: a value differs.
    """
    if coded == frame:
        return values  # in RLE the bits above those stored may carry an overlay, as uncompressed
    if frame.signed and signed is None:
        same = _same_in_two_complement(values, coded.stored, frame.stored)
        least, most = int(values.min()), int(values.max())
    else:
        limit = 1 << frame.stored
        low, high = (-limit // 2, limit // 2 - 1) if frame.signed else (0, limit - 1)
        least, most = int(values.min()), int(values.max())
        slack = limit // LOSSY_SLACK if frame.encoding in LOSSY else 0
        same = low - slack <= least and most <= high + slack
        if same and not low <= least <= most <= high:
            values = values.clip(max(low, np.iinfo(values.dtype).min), high)
    if not same:
        raise _differs(
            f"has {_kind(signed)}values from {least} to {most}",
            f"says {frame.stored} bits, {'signed' if frame.signed else 'unsigned'}",
        )
    return values


def _same_in_two_complement(values: Stored, coded: int, stored: int) -> bool:
    """Whether patterns of ``coded`` bits mean the same in two's complement of ``stored`` bits.

    Encoders either cut the sign's repetitions off, or keep them.
    """
    if coded == stored:
        return True
    half = 1 << (min(coded, stored) - 1)
    if coded < stored:
        return bool((values < half).all())
    kept = (values < half) | (values >= (1 << coded) - half)
    return bool((values < 2 * half).all() or kept.all())


def _kind(signed: bool | None) -> str:
    return "" if signed is None else "signed " if signed else "unsigned "


def _differs(pixels: str, header: str) -> FilmError:
    return FilmError(f"its pixel data {pixels}, but its header {header}", remedy=_REMEDY)


def damaged(why: str) -> FilmError:
    """The error for a frame that cannot be decoded."""
    return FilmError(f"its pixel data is damaged ({why})", remedy="export it again")
