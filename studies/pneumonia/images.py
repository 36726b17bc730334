"""Where the images come from: PneumoniaMNIST, or drawn ones."""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.engine.tasks import PNEUMONIA_CLASSES
from gdshare.errors import CohortError
from gdshare.seeding import numpy_generator
from gdshare.storage import replacing

REAL = Path("medmnist") / "pneumoniamnist.npz"
SYNTHETIC = "synthetic.npz"
SPLITS = ("train", "val", "test")
SIDE = 28


def real_images(data: Path) -> tuple[Path, str]:
    """PneumoniaMNIST's file and its SHA-256.

    Raises:
        CohortError: it is not there.
    """
    file = data / REAL
    try:
        return file, hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise CohortError(
            f"{file}: cannot be read ({error.strerror}); give the folder that holds {REAL} by "
            "--data, or try everything out on drawn images by --quick"
        ) from error


def synthetic_images(out: Path, per_class: int) -> Path:
    """Draw images of the same kind into ``out``, the same ones each time: a bright spot is class 1.

    Args:
        out: a folder, made if needed.
        per_class: images of each class in each split.
    """
    file = out / SYNTHETIC
    out.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, npt.NDArray[np.uint8]] = {}
    labels = np.repeat(np.arange(PNEUMONIA_CLASSES, dtype=np.uint8), per_class)
    for index, split in enumerate(SPLITS):
        generator = numpy_generator(0, "pneumonia-synthetic", index)
        images = generator.normal(90, 20, (len(labels), SIDE, SIDE))
        images[:, 8:20, 8:20] += 60 * labels[:, None, None]
        arrays[f"{split}_images"] = images.clip(0, 255).astype(np.uint8)
        arrays[f"{split}_labels"] = labels[:, None]
    with replacing(file) as stream:
        np.savez(stream, allow_pickle=False, **arrays)
    return file
