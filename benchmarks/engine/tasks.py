"""What every rival is given and can be asked for; noise to time it on, and real X-rays to learn."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gdshare.cohort import open_cohort
from gdshare.distilled import Distilled
from gdshare.errors import CohortError, UsageError
from gdshare.networks import Parameters, build, draw
from gdshare.patch_tensors import as_tensors
from gdshare.patches import normalise
from gdshare.protocol import CLASSES, Protocol
from gdshare.seeding import balanced_rows, numpy_generator, scoring_rows, torch_generator

Minibatch = tuple[Tensor, Tensor]
"""Float [K, 1, side, side] normalised patches, and int64 [K] classes."""
Rows = npt.NDArray[np.int64]

SCORE_INITS = 10
SCORE_PER_CLASS = 200

PNEUMONIA = Path("medmnist") / "pneumoniamnist.npz"
PNEUMONIA_SHA256 = "8c555c787c4594882835129e3cee6a02cf9b8a6d8aed162b512521a5697177c8"
PNEUMONIA_SIDE = 32
PNEUMONIA_CLASSES = 2

FILMS = Path("tb_cxr") / "shenzhen-a" / "labels.csv"
FILMS_SHA256 = "0f6340e0a689407ae26a52bd20c2cf76a46b183bf66fe6a18966bc7dce7d4bd7"
FILMS_PROTOCOL = Protocol(patch=75, stride=13, side=32, tone="none")
FILMS_SPLIT = (0.6, 0.2, 0.2)


@dataclass(frozen=True)
class Problem:
    """One distillation, the same for every rival; each draw is a function of the training step."""

    module: nn.Module  # the network's shape; weights that it may have are never read
    theta0: Callable[[int], Parameters]  # training step -> fresh initial weights
    minibatch: Callable[[int], Minibatch]  # training step -> real patches
    side: int  # of the patches, px
    classes: int  # C; one distilled image a class, so also M
    steps: int  # E · I inner steps, all on the same images
    steps_per_epoch: int  # training steps in one pass over the real data
    seed: int  # decides the images' start
    outer_steps: int = 1000  # training steps planned; our learning rate falls to 0 over them

    def start_images(self) -> Tensor:
        """Standard normal noise, torch's default float type [C, 1, side, side]."""
        generator = torch_generator(self.seed, "start-images")
        return torch.randn(self.classes, 1, self.side, self.side, generator=generator)

    def hard_labels(self) -> Tensor:
        """One image a class: rows of the identity, torch's default float type."""
        return torch.eye(self.classes)


def gaussian(network: str, side: int, batch: int, steps: int, seed: int) -> Problem:
    """Noise patches of three classes: time and memory do not depend on the pixels."""
    module = build(network, side)

    def minibatch(step: int) -> Minibatch:
        generator = torch_generator(seed, "gaussian", step)
        classes = torch.arange(batch) % len(CLASSES)
        return torch.randn(batch, 1, side, side, generator=generator), classes

    theta0 = drawn_from(network, module, seed, "theta0")
    return Problem(module, theta0, minibatch, side, len(CLASSES), steps, 1000, seed)


def drawn_from(
    network: str, module: nn.Module, seed: int, purpose: str
) -> Callable[[int], Parameters]:
    """Training step -> θ0 by the network's own initialiser."""
    return lambda step: draw(network, module, torch_generator(seed, purpose, step))


@dataclass(frozen=True)
class MetaGradient:
    """The outer loss and its derivatives."""

    loss: float  # cross entropy of the trained network on the minibatch, nats
    images: Tensor  # float [M, 1, side, side]
    rates: Tensor  # float [E * I], by the raw rate before softplus


class Engine(Interface):
    """A rival at work on a problem."""

    @property
    def done(self) -> int:
        """Training steps done."""

    def outer_step(self) -> float:
        """One training step: minibatch, θ0, inner steps, meta-gradient, Adam. Returns the loss."""

    def gradient(self) -> MetaGradient:
        """The meta-gradient that the next training step would use; nothing changes."""

    def distilled(self) -> Distilled:
        """Images, labels and learning rates as a receiver would get them."""

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs: tensors, numbers, and dicts, lists and tuples of them."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a checkpoint."""


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
        _balanced(
            train.rows_by_class(),
            lambda rows: as_tensors(train, rows, cohort.protocol),
            batch,
            seed,
        ),
        cohort.protocol.side,
        len(CLASSES),
        steps,
        steps_per_epoch=-(-len(train) // batch),
        seed=seed,
        outer_steps=outer_steps,
    )
    chosen = scoring_rows(val, SCORE_PER_CLASS, numpy_generator(seed, "score-rows"))
    return QualityTask(
        problem, _score_inits("resnet18", module, seed), as_tensors(val, chosen, cohort.protocol)
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
