"""The network that tells writing from anything else, pixel by pixel.

It is the small text detector of PP-OCRv6, trained by the PaddleOCR project on photographs and
pages in many scripts. Its weights lie in ``weights/``, with their licence (Apache-2.0), so nothing
is fetched at run time; they are loaded only if they are, byte for byte, those that were measured.
"""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnxruntime import InferenceSession, SessionOptions
from scipy.ndimage import zoom

from gdshare.errors import GdshareError

Gray = npt.NDArray[np.float32]

WEIGHTS = Path(__file__).parent / "weights" / "PP-OCRv6_det_small.onnx"
SHA256 = "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f"

_STRIDE = 32
"""The network halves its input five times."""


class TextDetectorError(GdshareError):
    """The text detector's weights are missing, or not those that were measured."""


def writing(film: Gray, doubled: bool) -> Gray:
    """How likely each pixel is part of the core of a line of writing.

    Args:
        film: float32 [h, w] in [-1, 1]; memory grows with it, 0.5 GB for 1152 x 1152 px.
        doubled: whether to show it at twice its size.

    Returns:
        float32 [h, w] in [0, 1].

    Raises:
        TextDetectorError: there are no weights, or others.
    """
    shown = zoom(film, 2, order=1, mode="nearest", grid_mode=True) if doubled else film
    height, width = shown.shape
    padded = np.pad(shown, ((0, -height % _STRIDE), (0, -width % _STRIDE)), mode="edge")
    colours = np.ascontiguousarray(np.broadcast_to(padded, (1, 3, *padded.shape)))
    session = _session()
    answer = session.run(None, {session.get_inputs()[0].name: colours})[0]
    likely: Gray = np.asarray(answer, np.float32)[0, 0, :height, :width]
    if doubled:
        likely = likely.reshape(height // 2, 2, width // 2, 2).max((1, 3))
    return likely


@cache
def _session() -> InferenceSession:
    """The network on one thread, made once: checking and loading take a third of a second."""
    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it would keep the largest piece's memory for good
    return InferenceSession(_weights(), options, providers=["CPUExecutionProvider"])


def _weights() -> bytes:
    try:
        content = WEIGHTS.read_bytes()
    except OSError as error:
        raise _unusable(f"cannot be read, {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise _unusable("are not those that were measured")
    return content


def _unusable(why: str) -> TextDetectorError:
    return TextDetectorError(f"the text detector's weights {why}", WEIGHTS, "install gdshare again")
