"""The text detector: a network that says of each pixel how likely it is part of a line of text.

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
"""px: the network halves its input five times."""


class TextDetectorError(GdshareError):
    """The text detector's weights are missing, or not those that were measured."""


def text_probability(film: Gray, doubled: bool) -> Gray:
    """The probability of each pixel to lie in the core of a line of text.

    Args:
        film: float32 [h, w] in [-1, 1]; 1152 x 1152 px take 0.5 GB of memory.
        doubled: enlarge the film to twice its size for the network.

    Returns:
        float32 [h, w] in [0, 1].

    Raises:
        TextDetectorError: the weights are missing or differ from the measured ones.
    """
    image = zoom(film, 2, order=1, mode="nearest", grid_mode=True) if doubled else film
    height, width = image.shape
    padded = np.pad(image, ((0, -height % _STRIDE), (0, -width % _STRIDE)), mode="edge")
    colours = np.ascontiguousarray(np.broadcast_to(padded, (1, 3, *padded.shape)))
    session = _session()
    output = session.run(None, {session.get_inputs()[0].name: colours})[0]
    probability: Gray = np.asarray(output, np.float32)[0, 0, :height, :width]
    if doubled:
        probability = probability.reshape(height // 2, 2, width // 2, 2).max((1, 3))
    return probability


@cache
def _session() -> InferenceSession:
    """The network on one thread, loaded once: checking and loading take a third of a second."""
    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # the arena would never release the largest tile's memory
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
