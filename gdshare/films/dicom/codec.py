"""The process that ``decoder`` starts; it decodes compressed frames until its input ends."""

import os
import sys
from typing import IO
from warnings import catch_warnings, simplefilter

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEGExtended12Bit, RLELossless

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

from gdshare.errors import FilmError
from gdshare.films.dicom.agreement import damaged
from gdshare.films.dicom.codestream import rle_surplus
from gdshare.films.dicom.decoder import receive, send
from gdshare.films.dicom.stored import Frame, Stored, decoder_options

BASE_BYTES = 1024**3
BYTES_A_PIXEL = 24
"""Address space of this process: the interpreter, and several copies of the frame."""

TWELVE_BITS = FilmError(
    "is in 12-bit JPEG Extended, and gdshare does not install its only decoder, which is under the "
    "GPL",
    remedy="run pip install 'gdshare[jpeg12]', or export the film uncompressed",
)


def _decode(frame: Frame) -> Stored:
    with catch_warnings(record=True) as surplus:
        simplefilter("always")
        values, _ = get_decoder(frame.encoding).as_array(
            encapsulate([frame.content], has_bot=False),
            index=0,
            raw=True,
            decoding_plugin=_plugin(frame),
            **decoder_options(frame),
        )
    if surplus and frame.encoding == RLELossless:
        _require_rle_of_this_size(frame)
    return values


def _require_rle_of_this_size(frame: Frame) -> None:
    """Refuse a frame of more rows or columns, of which pydicom keeps the first bytes."""
    if rle_surplus(frame.content, frame.rows * frame.columns) >= min(frame.rows, frame.columns):
        raise damaged("it is larger than its header says")


def _plugin(frame: Frame) -> str:
    """The one codec to use: pydicom would try every installed plugin in turn, and pyjpegls, a
    dependency of highdicom, never returns from some damaged frames.
    """
    if frame.encoding == RLELossless:
        return "pydicom"
    if frame.encoding == JPEGExtended12Bit and frame.stored > 8:
        return "pylibjpeg"
    return "gdcm"


def _bound_memory(pixels: int) -> bool:
    """Limit the address space; return whether the system can, which Windows and macOS cannot."""
    if resource is None:
        return False
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    bound = BASE_BYTES + BYTES_A_PIXEL * pixels
    if most != resource.RLIM_INFINITY:
        bound = min(bound, most)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (bound, most))
    except (OSError, ValueError):  # macOS
        return False
    return True


def _serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    while True:
        try:
            head, content = receive(requests)
        except ValueError:
            return
        del head["bytes"]
        frame = Frame(content=content, **head)
        bounded = _bound_memory(frame.rows * frame.columns)
        try:
            values = np.ascontiguousarray(_decode(frame))
            head, data = {"dtype": values.dtype.str}, values.tobytes()
        except FilmError as error:
            head, data = {"error": error.what, "remedy": error.remedy}, b""
        except Exception as error:  # codecs and pydicom raise exceptions of many classes
            refusal = _refusal(frame, error)
            head, data = {"error": refusal.what, "remedy": refusal.remedy}, b""
        send(answers, head | {"bounded": bounded}, data)


def _refusal(frame: Frame, error: Exception) -> FilmError:
    if _plugin(frame) not in get_decoder(frame.encoding).available_plugins:
        return TWELVE_BITS
    return damaged("not enough memory" if isinstance(error, MemoryError) else "no codec reads it")


def _main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # codecs print to stdout
    _serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    _main()
