"""The problems of time to quality: real X-rays."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from benchmarks.engine.problem import Minibatch, Problem, drawn_from
from gdshare.cohort import open_cohort
from gdshare.errors import CohortError, UsageError
from gdshare.networks import Parameters, build
from gdshare.patch_tensors import as_tensors
from gdshare.patches import normalise
from gdshare.protocol import CLASSES, Protocol
from gdshare.seeding import balanced_rows, numpy_generator, scoring_rows

SCORE_INITS = 10
SCORE_PER_CLASS = 200

PNEUMONIA = Path("medmnist") / "pneumoniamnist.npz"
PNEUMONIA_SHA256 = "8c555c787c4594882835129e3cee6a02cf9b8a6d8aed162b512521a5697177c8"
PNEUMONIA_SIDE = 32
PNEUMONIA_CLASSES = 2

FILMS = Path("tb_cxr") / "shenzhen-a" / "labels.csv"
FILMS_SHA256 = "0f6340e0a689407ae26a52bd20c2cf76a46b183bf66fe6a18966bc7dce7d4bd7"
FILMS_PROTOCOL = Protocol(patch=75, stride=13, side=32)
FILMS_SPLIT = (0.6, 0.2, 0.2)

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class QualityTask:
    """A problem, fresh θ0 to score its images from, and validation patches to score on."""

    problem: Problem
    inits: list[Parameters]
    scoring: Minibatch


def data_digest(path: Path) -> str:
    """SHA-256 of the file that says which data it is."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        remedy = "give the folder that holds medmnist and tb_cxr by --data, or take --quick"
        raise UsageError(f"cannot be read ({error.strerror})", path, remedy) from error


def tuberculosis(
    folder: Path, batch: int, steps: int, seed: int, outer_steps: int = 1000
) -> QualityTask:
    """A cohort of chest X-ray patches, I / N / P, ResNet18."""
    cohort = open_cohort(folder)
    train, val = cohort.patches("train"), cohort.patches("val")
    module = build("resnet18", cohort.protocol.side)
    problem = Problem(
        module,
        drawn_from("resnet18", module, seed, "theta0"),
        _balanced(train.rows_by_class(), lambda rows: as_tensors(train, rows, cohort), batch, seed),
        cohort.protocol.side,
        len(CLASSES),
        steps,
        steps_per_epoch=-(-len(train) // batch),
        seed=seed,
        outer_steps=outer_steps,
    )
    chosen = scoring_rows(val, SCORE_PER_CLASS, numpy_generator(seed, "score-rows"))
    return QualityTask(
        problem, _score_inits("resnet18", module, seed), as_tensors(val, chosen, cohort)
    )


def pneumonia(
    file: Path, batch: int, steps: int, seed: int, outer_steps: int = 1000
) -> QualityTask:
    """PneumoniaMNIST, 28 px padded to 32: normal or pneumonia, the ConvNet with two outputs."""
    images, classes = pneumonia_split(file, "train")
    module = pneumonia_network()
    rows_by_class = [np.flatnonzero(classes.numpy() == c) for c in range(PNEUMONIA_CLASSES)]
    problem = Problem(
        module,
        drawn_from("convnet", module, seed, "theta0"),
        _balanced(rows_by_class, lambda rows: (images[rows], classes[rows]), batch, seed),
        PNEUMONIA_SIDE,
        PNEUMONIA_CLASSES,
        steps,
        steps_per_epoch=-(-len(classes) // batch),
        seed=seed,
        outer_steps=outer_steps,
    )
    return QualityTask(problem, _score_inits("convnet", module, seed), pneumonia_split(file, "val"))


def pneumonia_split(file: Path, split: str) -> Minibatch:
    """All images of one split ("train", "val" or "test") of PneumoniaMNIST.

    Float32 [n, 1, 32, 32] normalised, the edge repeated around 28 px; and int64 [n], 0 normal and
    1 pneumonia.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
    except (OSError, KeyError, ValueError) as error:
        remedy = f"give the folder that holds {PNEUMONIA} by --data"
        raise CohortError(f"not {PNEUMONIA.name} ({error})", file, remedy) from error
    margin = (PNEUMONIA_SIDE - images.shape[-1]) // 2
    wide = np.pad(images, ((0, 0), (margin, margin), (margin, margin)), mode="edge")
    x = normalise(np.divide(wide, 255, dtype=np.float32), Protocol(side=PNEUMONIA_SIDE))
    return torch.from_numpy(x).unsqueeze(1), torch.from_numpy(labels.reshape(-1).astype(np.int64))


def pneumonia_network() -> nn.Module:
    """The ConvNet with two outputs.

    gdshare's own has an output a patch class, so three. An output that no label ever asks for would
    have to be unlearned from every θ0, so the last layer is replaced by one with two.
    """
    module = build("convnet", PNEUMONIA_SIDE)
    if not (isinstance(module, nn.Sequential) and isinstance(module[-1], nn.Linear)):
        raise TypeError("the ConvNet no longer ends in a linear layer; adapt pneumonia_network")
    module[-1] = nn.Linear(module[-1].in_features, PNEUMONIA_CLASSES, device="meta")
    return module


def _balanced(
    rows_by_class: list[Rows], read: Callable[[Rows], Minibatch], batch: int, seed: int
) -> Callable[[int], Minibatch]:
    """Training step -> class-balanced minibatch.

    Wang et al. draw shuffled passes over the data. The score here is class-balanced, and a rival
    trained on other shares of the classes than it is scored on would be at a disadvantage.
    """
    return lambda step: read(
        balanced_rows(rows_by_class, batch, numpy_generator(seed, "minibatch", step))
    )


def _score_inits(network: str, module: nn.Module, seed: int) -> list[Parameters]:
    theta0 = drawn_from(network, module, seed, "score-theta0")
    return [theta0(index) for index in range(SCORE_INITS)]
