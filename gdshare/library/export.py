"""Distilled images as tensors that other tools for data set distillation read.

DD-Ranking's evaluators take three tensors, of images, soft labels and a learning rate, that its
guide loads with ``torch.load``; its losses take the softmax of the labels, as of a teacher's
outputs. DC-bench's loader of trajectory matching loads images and hard labels from two files. Both
expect the images of a class together, class by class.
"""

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gdshare.errors import UsageError
from gdshare.library.images import DistilledImages
from gdshare.storage import new_folder, write_bytes

IMAGES, SOFT_LABELS, RATE = "images.pt", "labels.pt", "lr.pt"
"""As in DD-Ranking's guide."""
BEST_IMAGES, HARD_LABELS = "images_best.pt", "labels_best.pt"
"""As DC-bench's loader of trajectory matching wants them."""
SMALLEST_LABEL = np.float32(1e-12)
"""What a soft label of 0 counts as, since it has no logarithm."""


def export_tensors(
    images: DistilledImages,
    folder: Path,
    *,
    mean: float | None = None,
    std: float | None = None,
    channels: int = 1,
) -> None:
    """Write the images for DD-Ranking and for DC-bench.

    ``images.pt``
        float32 [M, channels, side, side], class by class.
    ``labels.pt``
        logarithms of the soft labels, float32 [M, classes]: their softmax is the soft labels.
    ``lr.pt``
        float32 [], for images that train all weights with one learning rate. Others have no rate
        that another network could use, and DD-Ranking searches for one.
    ``images_best.pt``, ``labels_best.pt``
        the same images, and the class that each was made for, int64 [M].

    The files are torch's own, which are pickles of tensors: nothing of gdshare reads them, and
    ``torch.load(path, weights_only=True)`` does without running what a pickle says.

    Args:
        images: as many of each class.
        folder: must not exist yet, or be empty; it appears complete or not at all.
        mean, std: that the tool normalises its own pictures in [0, 1] by; None: as the images are.
        channels: 3 repeats each image for networks of colour pictures.

    Raises:
        UsageError: the number of images is no multiple of the classes'; mean, std or channels are
            out of range; or the folder is not empty.
    """
    count, classes = len(images.images), len(images.classes)
    if count % classes:
        raise UsageError(
            f"{count} images of {classes} classes",
            images.name,
            "distil as many images of each class: these tools expect it",
        )
    shift = images.protocol.mean if mean is None else mean
    scale = images.protocol.std if std is None else std
    if channels not in (1, 3) or not 0 < scale < np.inf or not np.isfinite(shift):
        raise UsageError(
            "these tools have no such pictures",
            f"mean={mean}, std={std}, channels={channels}",
            "give a std above 0, a mean that is a number, and 1 or 3 channels",
        )
    start = np.arange(count) % classes  # the class that an image was started as
    order = np.argsort(start, kind="stable")
    pixels = (images.gray[order, None] - np.float32(shift)) / np.float32(scale)
    tensors = {
        IMAGES: torch.from_numpy(np.repeat(pixels, channels, axis=1)),
        SOFT_LABELS: torch.from_numpy(np.log(np.maximum(images.labels[order], SMALLEST_LABEL))),
        BEST_IMAGES: torch.from_numpy(np.repeat(pixels, channels, axis=1)),
        HARD_LABELS: torch.from_numpy(start[order]),
    }
    if images.method.train == "all" and len(images.learning_rates) == 1:
        tensors[RATE] = torch.tensor(float(images.learning_rates[0]))
    try:
        with new_folder(folder) as aside:
            for name, tensor in tensors.items():
                write_bytes(aside / name, _saved(tensor))
    except FileExistsError as error:
        raise UsageError("already exists", folder, "choose another folder") from error


def _saved(tensor: Tensor) -> bytes:
    stream = io.BytesIO()
    torch.save(tensor, stream)
    return stream.getvalue()
