"""The work of the cells: two distilled images, trainings on all real ones, and the test images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load as load_arrays
from torch import Tensor
from torch.nn import functional

from benchmarks.engine.ours import Ours
from benchmarks.engine.problem import drawn_from
from benchmarks.engine.tasks import (
    PNEUMONIA_CLASSES,
    pneumonia,
    pneumonia_network,
    pneumonia_split,
)
from benchmarks.engine.timed_run import Line, TimedRun, trained
from gdshare.distilled import TENSORS, Distilled
from gdshare.networks import draw, forward
from gdshare.patch_tensors import FORWARD_BATCH, patch_accuracy
from gdshare.seeding import balanced_rows, derived_seed, numpy_generator, torch_generator
from gdshare.storage import write_bytes
from studies.networks import Network
from studies.runner import Piece, Result, write_arrays

Batches = Literal["plain", "balanced"]

SYNTHETIC, BEST = "synthetic.npz", "best.safetensors"
DISTILLED = "distilled"  # the role of the distillation that is judged
SIDE = 28


@dataclass(frozen=True)
class Distilling:
    """How one image a class is distilled, all as ``gdshare distill`` does it but for the labels.

    With hard labels seed 0's images scored higher on validation images (docs/distill-options.md).
    """

    engine: Literal["ours", "ours-hard"] = "ours-hard"
    steps: int = 3  # E · I
    batch: int = 24  # K
    outer_steps: int = 600  # T
    score_every: int = 50  # training steps; the best scored state is the result
    images: str | None = None  # SHA-256 of the real images' file


@dataclass(frozen=True)
class Training:
    """One way of training on real images.

    Plain batches are shuffled passes; balanced ones have as many images of each class, since the
    figure of merit is balanced, and the classes are 1 to 3.
    """

    batches: Batches
    rate: float  # Adam's
    epochs: int = 30
    patience: int = 4
    batch: int = 64
    images: str | None = None  # SHA-256 of the real images' file

    @property
    def name(self) -> str:
        return f"{self.batches}-{self.rate:g}"


@dataclass(frozen=True)
class Judging:
    networks: int  # fresh θ0 that networks are trained from on the distilled images
    steps: int
    trials: tuple[Training, ...]  # of which the best is taken


def draw_images(piece: Piece, per_class: int) -> Result:
    write_synthetic(piece.folder / SYNTHETIC, per_class)
    return Result()


def write_synthetic(file: Path, per_class: int) -> None:
    """Draw images like PneumoniaMNIST's, the same ones each time: a bright spot is class 1."""
    arrays: dict[str, npt.NDArray[np.uint8]] = {}
    labels = np.repeat(np.arange(PNEUMONIA_CLASSES, dtype=np.uint8), per_class)
    for index, split in enumerate(("train", "val", "test")):
        generator = numpy_generator(0, "pneumonia-synthetic", index)
        images = generator.normal(90, 20, (len(labels), SIDE, SIDE))
        images[:, 8:20, 8:20] += 60 * labels[:, None, None]
        arrays[f"{split}_images"] = images.clip(0, 255).astype(np.uint8)
        arrays[f"{split}_labels"] = labels[:, None]
    write_arrays(file, arrays)


def distil(file: Path, piece: Piece, plan: Distilling) -> Result:
    """The cell that distils; after a kill it goes on at its last checkpoint, to the same images.

    Its clock counts training steps, so that what comes out does not depend on the machine's speed.
    """
    task = pneumonia(file, plan.batch, plan.steps, piece.seed, plan.outer_steps)
    engine = Ours(task.problem, plan.engine)

    def keep_best(lines: Sequence[Line], images: Distilled) -> None:
        if all(lines[-1]["score"] > line["score"] for line in lines[:-1]):
            write_bytes(piece.folder / BEST, images.to_bytes())

    run = TimedRun(
        piece.folder,
        task,
        engine,
        budget=plan.outer_steps,
        steps=plan.outer_steps,
        score_every=plan.score_every,
        clock=lambda: float(engine.done),
        scored=keep_best,
    )
    lines = run.finish(piece.keep, lambda: piece.over)
    best = max((line for line in lines if "score" in line), key=lambda line: line["score"])
    return Result({name: best[name] for name in ("step", "score", "deviation")})


def train_real(file: Path, piece: Piece, trial: Training) -> Result:
    """The cell that trains the same ConvNet on every training image; a kill loses it whole."""
    x, classes = pneumonia_split(file, "train")
    val = pneumonia_split(file, "val")
    module = pneumonia_network()
    drawn = draw("convnet", module, torch_generator(piece.seed, "real-theta0"))
    theta = {name: weight.requires_grad_() for name, weight in drawn.items()}
    optimiser = torch.optim.Adam(theta.values(), lr=trial.rate)
    best_score, best_epoch = -1.0, 0
    for epoch in range(1, trial.epochs + 1):
        for rows in batches(trial.batches, classes, trial.batch, piece.seed, epoch):
            optimiser.zero_grad()
            loss = functional.cross_entropy(forward(module, theta, x[rows]), classes[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        reached = patch_accuracy(module, theta, *val)
        if reached > best_score:
            best_score, best_epoch = reached, epoch
            Network(module, theta).write(piece.folder)
        if epoch - best_epoch >= trial.patience:
            break
    return Result({"score": best_score, "epoch": best_epoch, "images": len(classes)})


def batches(way: Batches, classes: Tensor, size: int, seed: int, epoch: int) -> Iterator[Tensor]:
    """The minibatches of one pass, counted from 1: int64 rows.

    A balanced pass takes as many steps as a plain one, whose last batch may be smaller.
    """
    if way == "plain":
        shuffle = torch.Generator().manual_seed(derived_seed(seed, "real-shuffle", epoch))
        yield from torch.split(torch.randperm(len(classes), generator=shuffle), size)
        return
    rows_by_class = [np.flatnonzero(classes.numpy() == c) for c in range(PNEUMONIA_CLASSES)]
    steps = -(-len(classes) // size)
    for step in range(epoch * steps, (epoch + 1) * steps):
        rows = balanced_rows(rows_by_class, size, numpy_generator(seed, "real-balanced", step))
        yield torch.from_numpy(rows)


def judge(file: Path, piece: Piece, judging: Judging) -> Result:
    """The cell that shows the test images to one seed's networks, after everything is chosen.

    They are trained on the distillation's best scored state, or are of the best trial, both by
    validation images. The arrays are uint8: the truth [images], and what is called by networks
    trained on distilled images [networks, images], and by the real one [images].
    """
    x, classes = pneumonia_split(file, "test")
    module = pneumonia_network()
    tensors = load_arrays((piece.needs[DISTILLED].folder / BEST).read_bytes())
    state = Distilled(**{name: np.asarray(tensors[name]) for name in TENSORS})
    theta0 = drawn_from("convnet", module, piece.seed, "test-theta0")
    ours = [
        Network(module, trained(module, theta0(number), state, judging.steps))
        for number in range(judging.networks)
    ]
    best = max(judging.trials, key=lambda one: piece.needs[one.name].result.number("score"))
    real = Network.read(piece.needs[best.name].folder, module)
    return Result(
        {"batches": best.batches, "rate": best.rate},
        {
            "truth": classes.numpy().astype(np.uint8),
            "distilled": np.stack([called(network, x) for network in ours]),
            "real": called(real, x),
        },
    )


def called(network: Network, x: Tensor) -> npt.NDArray[np.uint8]:
    """The class that a network calls each image: uint8 [n]."""
    parts = [network.probabilities(part).argmax(1) for part in torch.split(x, FORWARD_BATCH)]
    classes: npt.NDArray[np.uint8] = torch.cat(parts).numpy().astype(np.uint8)
    return classes
