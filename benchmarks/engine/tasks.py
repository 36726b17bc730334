"""The problems of time to quality: real X-rays."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from benchmarks.engine.problem import Minibatch, Problem, drawn_from
from gdshare.cohort import open_cohort
from gdshare.errors import CohortError
from gdshare.networks import Parameters, build
from gdshare.patches import normalise
from gdshare.protocol import CLASSES, Protocol
from gdshare.seeding import balanced_rows, numpy_generator, scoring_rows
from gdshare.training import as_tensors

STEPS = 9
"""E · I of the source, 3 times 3."""

SCORE_INITS = 10
SCORE_PER_CLASS = 200
PNEUMONIA_SIDE = 32
PNEUMONIA_CLASSES = 2

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class QualityTask:
    """A problem, and what its distilled images are scored on.

    Attributes:
        problem: what the rivals work on.
        inits: fresh θ0, never used in distilling.
        scoring: real patches of validation patients.
    """

    problem: Problem
    inits: list[Parameters]
    scoring: Minibatch


def pneumonia(file: Path, batch: int, seed: int) -> QualityTask:
    """PneumoniaMNIST, 28 px padded to 32: normal or pneumonia, the ConvNet with two outputs.

    Raises:
        CohortError: the file is not there, or holds something else.
    """
    train, val = (pneumonia_split(file, split) for split in ("train", "val"))
    module = pneumonia_network()
    rows_by_class = [np.flatnonzero(train[1].numpy() == c) for c in range(PNEUMONIA_CLASSES)]

    def read(rows: Rows) -> Minibatch:
        return train[0][rows], train[1][rows]

    minibatch = balanced(rows_by_class, read, batch, seed)
    theta0 = drawn_from("convnet", module, seed, "theta0")
    epoch = -(-len(train[1]) // batch)
    problem = Problem(
        module, theta0, minibatch, PNEUMONIA_SIDE, PNEUMONIA_CLASSES, STEPS, epoch, seed
    )
    return QualityTask(problem, _score_inits("convnet", module, seed), val)


def pneumonia_split(file: Path, split: str) -> Minibatch:
    """All images of one split ("train", "val" or "test") of PneumoniaMNIST.

    Returns:
        float32 [n, 1, 32, 32] normalised, and int64 [n], 0 normal and 1 pneumonia.

    Raises:
        CohortError: the file is not there, or holds something else.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return _padded(arrays[f"{split}_images"], arrays[f"{split}_labels"])
    except (OSError, KeyError, ValueError) as error:
        raise CohortError(
            f"{file}: not pneumoniamnist.npz ({error}); give the folder that holds "
            "medmnist/pneumoniamnist.npz by --data"
        ) from error


def pneumonia_network() -> nn.Module:
    """The ConvNet with two outputs.

    gdshare's own has an output a patch class, so three; the last layer is made anew with two, since
    an output that no label ever asks for would be a thing to unlearn at every θ0.
    """
    module = build("convnet", PNEUMONIA_SIDE)
    if not (isinstance(module, nn.Sequential) and isinstance(module[-1], nn.Linear)):
        raise TypeError("the ConvNet no longer ends in a linear layer; adapt pneumonia_network")
    module[-1] = nn.Linear(module[-1].in_features, PNEUMONIA_CLASSES, device="meta")
    return module


def tuberculosis(folder: Path, batch: int, seed: int) -> QualityTask:
    """A cohort of chest X-ray patches, I / N / P, ResNet18."""
    cohort = open_cohort(folder)
    train, val = cohort.patches("train"), cohort.patches("val")
    side = cohort.protocol.side
    module = build("resnet18", side)

    def read(rows: Rows) -> Minibatch:
        return as_tensors(train, rows, cohort)

    minibatch = balanced(train.rows_by_class(), read, batch, seed)
    theta0 = drawn_from("resnet18", module, seed, "theta0")
    epoch = -(-len(train) // batch)
    problem = Problem(module, theta0, minibatch, side, len(CLASSES), STEPS, epoch, seed)
    chosen = scoring_rows(val, SCORE_PER_CLASS, numpy_generator(seed, "score-rows"))
    inits = _score_inits("resnet18", module, seed)
    return QualityTask(problem, inits, as_tensors(val, chosen, cohort))


def balanced(
    rows_by_class: list[Rows], read: Callable[[Rows], Minibatch], batch: int, seed: int
) -> Callable[[int], Minibatch]:
    """Training step -> class-balanced minibatch.

    Wang et al. draw shuffled passes over the data; the score here is class-balanced, and a rival
    that is trained on other shares than it is judged on would be handicapped.
    """

    def minibatch(step: int) -> Minibatch:
        return read(balanced_rows(rows_by_class, batch, numpy_generator(seed, "minibatch", step)))

    return minibatch


def _score_inits(network: str, module: nn.Module, seed: int) -> list[Parameters]:
    theta0 = drawn_from(network, module, seed, "score-theta0")
    return [theta0(index) for index in range(SCORE_INITS)]


def _padded(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Float32 [n, 1, 32, 32] by the protocol's constants, its edge repeated; int64 [n]."""
    margin = (PNEUMONIA_SIDE - images.shape[-1]) // 2
    wide = np.pad(images, ((0, 0), (margin, margin), (margin, margin)), mode="edge")
    x = normalise(np.divide(wide, 255, dtype=np.float32), Protocol(side=PNEUMONIA_SIDE))
    return torch.from_numpy(x).unsqueeze(1), torch.from_numpy(labels.reshape(-1).astype(np.int64))
