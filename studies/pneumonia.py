"""Do two distilled images, one a class, teach pneumonia as well as all 4,708 training images?

The target: the ConvNet trained from them comes within 3 points of balanced accuracy of the same
ConvNet trained on every training image of PneumoniaMNIST (28 px, padded to 32), both judged on the
test images. In full about an hour of CPU; ``--quick`` takes under a minute, on drawn images.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load as load_arrays
from torch import Tensor
from torch.nn import functional

from benchmarks.engine.rivals import Ours
from benchmarks.engine.tasks import (
    PNEUMONIA,
    PNEUMONIA_CLASSES,
    data_digest,
    drawn_from,
    pneumonia,
    pneumonia_network,
    pneumonia_split,
)
from benchmarks.engine.timed_run import Line, TimedRun, trained
from gdshare.distilled import TENSORS, Distilled
from gdshare.metrics import RESAMPLES
from gdshare.networks import Parameters, draw, forward
from gdshare.patch_tensors import FORWARD_BATCH, patch_accuracy
from gdshare.seeding import balanced_rows, numpy_generator, torch_generator
from gdshare.storage import write_bytes
from studies.command import Study
from studies.networks import Network, train_early_stopped
from studies.report import Report
from studies.runner import Cell, Piece, Result, Store, write_arrays
from studies.tables import (
    Difference,
    Float,
    Row,
    Table,
    Value,
    costs,
    deviation,
    interval,
    mean,
    resamples,
)

Batches = Literal["plain", "balanced"]
Calls = npt.NDArray[np.uint8]

SYNTHETIC, BEST = "synthetic.npz", "best.safetensors"
DISTILLED = "distilled"  # the role of the distillation that is judged
SIDE = 28


@dataclass(frozen=True)
class Distilling:
    """How one image a class is distilled, all as ``gdshare distill`` does it but with hard labels.

    With these seed 0's images scored higher on validation images (docs/distill-options.md).
    """

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


FULL_S = (200.0, 240.0, 20.0)  # CPU-seconds of the full plan: to distil, to train, to judge


@dataclass(frozen=True)
class Plan:
    """Everything that decides a study but its seeds."""

    distilling: Distilling
    trials: tuple[Training, ...]  # every way of training on real images
    networks: int = 10  # fresh θ0 that networks are trained from on the distilled images
    team: int = 5  # how many of these vote together
    synthetic: int | None = None  # so many drawn images of each class and split, not real ones


FULL = Plan(
    Distilling(),
    tuple(Training(way, rate) for way in get_args(Batches) for rate in (1e-3, 3e-4)),
)
QUICK = Plan(
    Distilling(batch=8, outer_steps=4, score_every=2),
    (Training("plain", 1e-3, 2, batch=8), Training("balanced", 1e-3, 2, batch=8)),
    networks=4,
    team=2,
    synthetic=12,
)


def study(chosen: argparse.Namespace, store: Store) -> Study:
    plan, seeds = (QUICK, 2) if chosen.quick else (FULL, 3)
    every = range(chosen.seeds or seeds)
    cells = cells_of(plan, chosen.data, every, store)
    return Study(plan, cells, partial(report_of, plan, every, cells))


def cells_of(plan: Plan, data: Path, seeds: Sequence[int], store: Store) -> list[Cell]:
    """All cells, seed after seed, so that whole seeds are done early."""
    drawn, full = Cell("images", "images", draw_images, plan.synthetic), plan.synthetic is None
    file = data / PNEUMONIA if full else store.folder(drawn) / SYNTHETIC
    source = data_digest(file) if full else None
    needs = {} if full else {"images": drawn}
    costs = FULL_S if full else (1.0, 1.0, 1.0)
    work = [partial(function, file) for function in (distil, train_real, judge)]
    distilling = replace(plan.distilling, images=source)
    cells = list(needs.values())
    for seed in seeds:
        name = f"distil-{seed}"
        ours = Cell(name, "distil", work[0], distilling, seed, needs, costs[0], resumable=True)
        judged = {DISTILLED: ours}
        for trial in plan.trials:
            own, name = replace(trial, images=source), f"real-{seed}-{trial.name}"
            judged[trial.name] = Cell(name, "real", work[1], own, seed, needs, costs[1])
        last = Cell(f"judge-{seed}", "judge", work[2], plan, seed, judged, costs[2])
        cells += [*judged.values(), last]
    return cells


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
    engine = Ours(task.problem, "ours-hard")

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
    epochs = (
        batches(trial.batches, classes, trial.batch, piece.seed, epoch)
        for epoch in range(1, trial.epochs + 1)
    )

    def loss(rows: Tensor) -> Tensor:
        return functional.cross_entropy(forward(module, theta, x[rows]), classes[rows])

    def validate() -> tuple[float, Parameters]:
        weights = {name: weight.detach().clone() for name, weight in theta.items()}
        return patch_accuracy(module, theta, *val), weights

    adam = torch.optim.Adam(theta.values(), lr=trial.rate)
    best = train_early_stopped(adam, epochs, loss, validate, trial.patience)
    Network(module, best.weights).write(piece.folder)
    return Result({"score": best.score, "epoch": best.epoch, "images": len(classes)})


def batches(way: Batches, classes: Tensor, size: int, seed: int, epoch: int) -> Iterator[Tensor]:
    """The minibatches of one pass, counted from 1: int64 rows.

    A balanced pass takes as many steps as a plain one, whose last batch may be smaller.
    """
    if way == "plain":
        shuffle = torch_generator(seed, "real-shuffle", epoch)
        yield from torch.split(torch.randperm(len(classes), generator=shuffle), size)
        return
    rows_by_class = [np.flatnonzero(classes.numpy() == c) for c in range(PNEUMONIA_CLASSES)]
    steps = -(-len(classes) // size)
    for step in range(epoch * steps, (epoch + 1) * steps):
        rows = balanced_rows(rows_by_class, size, numpy_generator(seed, "real-balanced", step))
        yield torch.from_numpy(rows)


def judge(file: Path, piece: Piece, plan: Plan) -> Result:
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
        Network(module, trained(module, theta0(number), state, plan.distilling.steps))
        for number in range(plan.networks)
    ]
    best = max(plan.trials, key=lambda trial: piece.needs[trial.name].result.number("score"))
    real = Network.read(piece.needs[best.name].folder, module)
    return Result(
        {"batches": best.batches, "rate": best.rate},
        {
            "truth": classes.numpy().astype(np.uint8),
            "distilled": np.stack([called(network, x) for network in ours]),
            "real": called(real, x),
        },
    )


def called(network: Network, x: Tensor) -> Calls:
    """The class that a network calls each image."""
    parts = [network.probabilities(part).argmax(1) for part in torch.split(x, FORWARD_BATCH)]
    classes: Calls = torch.cat(parts).numpy().astype(np.uint8)
    return classes


TARGET = 3.0  # points of balanced accuracy that distilled images may be behind all real ones
POINTS = 100.0


def report_of(
    plan: Plan, seeds: Sequence[int], cells: Sequence[Cell], results: Mapping[str, Result]
) -> Report:
    judged = [results[f"judge-{seed}"].arrays for seed in seeds]
    truth, reals = judged[0]["truth"], [arrays["real"] for arrays in judged]
    generator, count = numpy_generator(0, "pneumonia-resamples"), len(truth)
    drawn = resamples(truth.astype(np.int64), np.arange(count), generator, RESAMPLES)
    singles = [arrays["distilled"] for arrays in judged]
    voting = [teams(calls, plan.team) for calls in singles]
    images = int(results[f"real-{seeds[0]}-{plan.trials[0].name}"].number("images"))
    alone, together = (
        behind([called for seed in models for called in seed], reals, truth, drawn)
        for models in (singles, voting)
    )
    rows: list[Row] = [
        (*_accuracy("2 distilled, k = 1", singles, truth), alone.shown(digits=1)),
        (*_accuracy(f"2 distilled, k = {plan.team}", voting, truth), together.shown(digits=1)),
        (*_accuracy(f"{images} real", [calls[None] for calls in reals], truth), ""),
    ]
    title = f"Balanced accuracy on test images, %, mean and ± over {len(seeds)} seeds"
    tables = [
        Table(title, ("model", "mean", "±", "points to real"), rows),
        _decided(plan, seeds, results),
        costs("CPU-seconds", cells, results, each=False),
    ]
    figures = {"target_points": -TARGET, "tables": [table.as_data() for table in tables]}
    notes = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").strip()
    accuracies, *others = map(str, tables)
    words = [notes.format(networks=plan.networks), accuracies, answer(images, alone), *others]
    return Report("\n\n".join(words), figures)


def answer(images: int, ahead: Difference) -> str:
    word = "" if ahead.value >= -TARGET else "NOT "
    whole = "wholly" if ahead.low >= -TARGET else "not wholly"
    return (
        f"Target: two distilled images come {word}within {TARGET:g} points of {images} real ones "
        f"({ahead.shown(digits=1).text}; the interval is {whole} above {-TARGET:g})."
    )


def teams(called: Calls, size: int) -> Calls:
    """What disjoint teams of networks call the images by most votes; a tie is normal."""
    count = len(called) // size
    votes = called[: count * size].reshape(count, size, -1).sum(1, dtype=np.int64)
    most: Calls = (2 * votes > size).astype(np.uint8)
    return most


def balanced_accuracy(called: Calls, truth: Calls) -> float:
    """The mean over classes of the share called right: [images] and [images] -> [0, 1]."""
    return float(_balanced(_mean_hits([called], truth), np.ones((1, len(truth))), truth)[0])


def behind(
    first: Sequence[Calls], second: Sequence[Calls], truth: Calls, drawn: Float
) -> Difference:
    """The mean balanced accuracy of some models minus that of others, in points.

    Both are judged on the same resamples. Only the images are resampled: the spread between seeds
    and θ0 is averaged over, and not in the interval.
    """
    # Balanced accuracy is linear in the hits, so the models' mean hits have the mean accuracy.
    ahead = _mean_hits(first, truth) - _mean_hits(second, truth)
    (observed,) = POINTS * _balanced(ahead, np.ones((1, len(truth))), truth)
    return Difference(float(observed), *interval(POINTS * _balanced(ahead, drawn, truth)))


def _mean_hits(models: Sequence[Calls], truth: Calls) -> Float:
    hits: Float = np.mean([called == truth for called in models], axis=0, dtype=np.float64)
    return hits


def _balanced(hits: Float, times: Float, truth: Calls) -> Float:
    """Float64 [images] hits counted [count, images] times -> balanced accuracy, [count]."""
    shares = [
        times[:, truth == label] @ hits[truth == label] / times[:, truth == label].sum(1)
        for label in np.unique(truth)
    ]
    means: Float = np.mean(shares, axis=0)
    return means


def _accuracy(name: str, models: Sequence[Calls], truth: Calls) -> tuple[str, Value, Value]:
    """Mean and deviation over seeds, each the mean over its models: uint8 [models, images]."""
    values = [mean([balanced_accuracy(calls, truth) for calls in seed]) for seed in models]
    spread = deviation(values)
    return name, _percent(mean(values)), Value(_percent(spread).text, list(values))


def _decided(plan: Plan, seeds: Sequence[int], results: Mapping[str, Result]) -> Table:
    rows: list[Row] = []
    for seed in seeds:
        ours = results[f"distil-{seed}"]
        real = [(trial, results[f"real-{seed}-{trial.name}"]) for trial in plan.trials]
        best, theirs = max(real, key=lambda pair: pair[1].number("score"))
        way, epoch = f"{best.batches} {best.rate:g}", f"{theirs.number('epoch'):.0f}"
        step, score = f"{ours.number('step'):.0f}", _percent(ours.number("score"))
        rows.append((str(seed), step, score, way, epoch, _percent(theirs.number("score"))))
    head = ("seed", "step", "distilled", "minibatches, rate", "epoch", "real")
    return Table("What validation images decided, and balanced accuracy on them, %", head, rows)


def _percent(value: float | None) -> Value:
    return Value("-" if value is None else f"{POINTS * value:.1f}", value)
