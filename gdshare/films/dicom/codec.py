"""The process that ``decoder`` starts: it decodes compressed frames until its input ends."""

import os
import sys
from typing import IO

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEGExtended12Bit, RLELossless

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

from gdshare.films.dicom.decoder import DAMAGED, receive, send
from gdshare.films.dicom.stored import Frame, Stored, layout

BASE_BYTES = 1024**3
BYTES_A_PIXEL = 24
"""What this process may occupy: the interpreter, and some copies of the frame."""

TWELVE_BITS = (
    "JPEG Extended of 12 bits, whose only decoder is under the GPL and so not installed with "
    "gdshare; pip install 'gdshare[jpeg12]', or export the film uncompressed"
)


def _decoded(frame: Frame) -> Stored:
    values, _ = get_decoder(frame.encoding).as_array(
        encapsulate([frame.content], has_bot=False),
        index=0,
        raw=True,
        decoding_plugin=_plugin(frame),
        **layout(frame),
    )
    return values


def _plugin(frame: Frame) -> str:
    """One codec for each encoding: left to itself pydicom tries all that are installed in turn,
    and pyjpegls, which highdicom brings, does not come back from some damaged frames.
    """
    if frame.encoding == RLELossless:
        return "pydicom"
    if frame.encoding == JPEGExtended12Bit and frame.stored > 8:
        return "pylibjpeg"
    return "gdcm"


def _bound_memory(pixels: int) -> bool:
    """Bound this process's memory; returns whether the system can: Windows and macOS cannot."""
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
            values = np.ascontiguousarray(_decoded(frame))
            told = {"dtype": values.dtype.str}, values.tobytes()
        except Exception as error:  # codecs and pydicom raise what they stumble over
            told = {"error": _reason(frame, error)}, b""
        send(answers, told[0] | {"bounded": bounded}, told[1])


def _reason(frame: Frame, error: Exception) -> str:
    if _plugin(frame) not in get_decoder(frame.encoding).available_plugins:
        return TWELVE_BITS
    return DAMAGED.format(
        "no memory for it" if isinstance(error, MemoryError) else "no codec reads it"
    )


def _main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # codecs print; nobody shall take it as bytes
    _serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    _main()
