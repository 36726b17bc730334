"""The stored values of one frame, decoded.

Uncompressed frames are read here. Compressed ones go to a process of its own (``decoder``): the
codecs are C and C++ fed with bytes from anywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder

from gdshare.errors import FilmError
from gdshare.films.dicom.header import Header

Stored = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Frame:
    """All that a codec needs to know of one compressed frame; nothing that tells of a person.

    Attributes:
        encoding: UID of the transfer syntax.
        rows, columns: px.
        allocated, stored: bits of a pixel.
        signed: the value is in two's complement.
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
"""A compressed frame to its stored values [rows, columns]; ``FilmError`` without a path."""


def layout(of: Header | Frame, frames: int = 1) -> dict[str, Any]:
    """What pydicom's decoders want to be told, by their own names."""
    return {
        "rows": of.rows,
        "columns": of.columns,
        "number_of_frames": frames,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",  # polarity is settled elsewhere
        "bits_allocated": of.allocated,
        "bits_stored": of.stored,
        "pixel_representation": int(of.signed),
        "pixel_keyword": "PixelData",
    }


def stored_values(
    dataset: Dataset, header: Header, path: Path, frame: int, decode: Decode
) -> Stored:
    """Decode one frame.

    Args:
        dataset: with its pixel data.
        header: of the same.
        path: what to call the film in a message.
        frame: counted from 1.
        decode: for a compressed one.

    Returns:
        int or uint [rows, columns]; bits above those stored may hold anything.

    Raises:
        FilmError: no such frame, or damaged pixel data.
    """
    if not 1 <= frame <= header.frames:
        raise FilmError(f"there is no frame {frame}", path, f"it holds {header.frames}")
    try:
        if header.encoding.is_compressed:
            return decode(_frame(dataset, header, frame))
        decoder = get_decoder(header.encoding)
        values, _ = decoder.as_array(
            dataset.PixelData,
            index=frame - 1,
            raw=True,
            **layout(header, header.frames) | {"pixel_vr": dataset["PixelData"].VR},
        )
        return values
    except FilmError as error:
        raise error.at(path) from error
    except Exception as error:  # pydicom raises what it stumbles over
        said = f"{type(error).__name__}: {error}"[:120].replace("\n", " ")
        raise FilmError(f"its pixel data is damaged ({said})", path, "export it again") from error


def _frame(dataset: Dataset, header: Header, frame: int) -> Frame:
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
