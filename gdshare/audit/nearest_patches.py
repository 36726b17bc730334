"""``nearest.safetensors`` in a run folder: the training patch nearest to each image, to look at.

It holds parts of patients' films and stays at the hospital: the page of ``gdshare prepare`` shows
each beside its image, and a bundle does not hold it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from gdshare.distill.score_record import tensors_digest
from gdshare.distilled import Distilled
from gdshare.errors import RunError
from gdshare.plain_files import read_plain
from gdshare.storage import write_bytes

NEAREST: Final = "nearest.safetensors"
MAX_BYTES = 64 * 1024**2
_AGAIN = "make it again with gdshare audit"


@dataclass(frozen=True)
class NearestPatches:
    """The training patch that correlates most with each image, inverted copies included.

    Attributes:
        patches: float32 [M, side, side], gray in [0, 1].
        correlations: float32 [M], Pearson's, without its sign.
    """

    patches: npt.NDArray[np.float32]
    correlations: npt.NDArray[np.float32]


def write_nearest(folder: Path, nearest: NearestPatches, distilled: Distilled) -> None:
    """Write ``nearest.safetensors`` into a run's folder, or beside what was prepared from it."""
    tensors: dict[str, npt.NDArray[Any]] = {
        "about": np.frombuffer(bytes.fromhex(tensors_digest(distilled)), np.uint8),
        "patches": np.ascontiguousarray(nearest.patches, np.float32),
        "correlations": np.ascontiguousarray(nearest.correlations, np.float32),
    }
    write_bytes(folder / NEAREST, save(tensors))


def read_nearest(folder: Path, distilled: Distilled) -> NearestPatches | None:
    """Read ``nearest.safetensors`` of a run, or of what was prepared from it; None without it.

    Args:
        folder: that may hold it.
        distilled: the result it must be about.

    Raises:
        RunError: damaged, or about another result.
    """
    path = folder / NEAREST
    try:
        tensors = load(read_plain(path, MAX_BYTES))
        about = tensors["about"].tobytes().hex()
        nearest = NearestPatches(tensors["patches"], tensors["correlations"])
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, KeyError) as error:
        raise RunError("cannot be read", path, _AGAIN) from error
    if about != tensors_digest(distilled):
        raise RunError("is about another result than the run's", path, _AGAIN)
    _require_sound(nearest, distilled, path)
    return nearest


def _require_sound(nearest: NearestPatches, distilled: Distilled, path: Path) -> None:
    images, *_, side = distilled.images.shape
    shapes = {"patches": (images, side, side), "correlations": (images,)}
    for name, shape in shapes.items():
        values = getattr(nearest, name)
        if values.shape != shape or values.dtype != np.float32 or not _in_range(values):
            raise RunError(f"its {name} are none of these images'", path, _AGAIN)


def _in_range(values: npt.NDArray[np.float32]) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())  # false for what is not a number, too
