"""Do two distilled images, one a class, teach pneumonia as well as all 4,708 training images?

The target: the ConvNet trained from them comes within 3 points of balanced accuracy of the same
ConvNet trained on every training image of PneumoniaMNIST (28 px, padded to 32), both judged on the
test images. In full about an hour of CPU; ``--quick`` takes under a minute, on drawn images.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt

from benchmarks.engine.tasks import PNEUMONIA, data_digest
from gdshare.metrics import RESAMPLES
from gdshare.seeding import numpy_generator
from studies.command import Report, Study
from studies.pneumonia.work import (
    DISTILLED,
    SYNTHETIC,
    Batches,
    Distilling,
    Judging,
    Training,
    distil,
    draw_images,
    judge,
    train_real,
)
from studies.runner import Cell, Result, Store
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

DISTIL_S, REAL_S, JUDGE_S = 200.0, 240.0, 20.0  # CPU-seconds of the full plan


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

    def report(results: Mapping[str, Result]) -> Report:
        return report_of(plan.networks, plan.team, plan.trials, every, cells, results)

    return Study(plan, cells, report)


def cells_of(plan: Plan, data: Path, seeds: Sequence[int], store: Store) -> list[Cell]:
    """All cells, seed after seed, so that whole seeds are done early."""
    drawn, full = Cell("images", "images", draw_images, plan.synthetic), plan.synthetic is None
    file = data / PNEUMONIA if full else store.folder(drawn) / SYNTHETIC
    source = data_digest(file) if full else None
    needs = {} if full else {"images": drawn}
    costs = (DISTIL_S, REAL_S, JUDGE_S) if full else (1.0, 1.0, 1.0)
    work = [partial(function, file) for function in (distil, train_real, judge)]
    distilling = replace(plan.distilling, images=source)
    judging = Judging(plan.networks, plan.distilling.steps, plan.trials)
    cells = list(needs.values())
    for seed in seeds:
        name = f"distil-{seed}"
        ours = Cell(name, "distil", work[0], distilling, seed, needs, costs[0], resumable=True)
        judged = {DISTILLED: ours}
        for one in plan.trials:
            trial, name = replace(one, images=source), f"real-{seed}-{one.name}"
            judged[one.name] = Cell(name, "real", work[1], trial, seed, needs, costs[1])
        last = Cell(f"judge-{seed}", "judge", work[2], judging, seed, judged, costs[2])
        cells += [*judged.values(), last]
    return cells


Calls = npt.NDArray[np.uint8]

TARGET = 3.0  # points of balanced accuracy that distilled images may be behind all real ones
POINTS = 100.0


def report_of(
    networks: int,
    team: int,
    trials: Sequence[Training],
    seeds: Sequence[int],
    cells: Sequence[Cell],
    results: Mapping[str, Result],
) -> Report:
    judged = [results[f"judge-{seed}"].arrays for seed in seeds]
    truth, reals = judged[0]["truth"], [one["real"] for one in judged]
    generator, count = numpy_generator(0, "pneumonia-resamples"), len(truth)
    drawn = resamples(truth.astype(np.int64), np.arange(count), generator, RESAMPLES)
    singles = [one["distilled"] for one in judged]
    voting = [teams(one, team) for one in singles]
    images = int(results[f"real-{seeds[0]}-{trials[0].name}"].number("images"))
    alone, together = (
        behind([called for seed in models for called in seed], reals, truth, drawn)
        for models in (singles, voting)
    )
    rows: list[Row] = [
        (*_accuracy("2 distilled, k = 1", singles, truth), alone.shown(digits=1)),
        (*_accuracy(f"2 distilled, k = {team}", voting, truth), together.shown(digits=1)),
        (*_accuracy(f"{images} real", [one[None] for one in reals], truth), ""),
    ]
    title = f"Balanced accuracy on test images, %, mean and ± over {len(seeds)} seeds"
    tables = [
        Table(title, ("model", "mean", "±", "points to real"), rows),
        _decided(trials, seeds, results),
        costs("CPU-seconds", cells, results, each=False),
    ]
    figures = {"target_points": -TARGET, "tables": [table.as_data() for table in tables]}
    notes = Path(__file__).with_name("notes.txt").read_text(encoding="utf-8").strip()
    accuracies, *others = map(str, tables)
    words = [notes.format(networks=networks), accuracies, answer(images, alone), *others]
    return Report("\n\n".join(words), figures)


def answer(images: int, found: Difference) -> str:
    word = "" if found.value >= -TARGET else "NOT "
    whole = "wholly" if found.low >= -TARGET else "not wholly"
    return (
        f"Target: two distilled images come {word}within {TARGET:g} points of {images} real ones "
        f"({found.shown(digits=1).text}; the interval is {whole} above {-TARGET:g})."
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
    values = [mean([balanced_accuracy(one, truth) for one in calls]) for calls in models]
    spread = deviation(values)
    return name, _percent(mean(values)), Value(_percent(spread).text, list(values))


def _decided(
    trials: Sequence[Training], seeds: Sequence[int], results: Mapping[str, Result]
) -> Table:
    rows: list[Row] = []
    for seed in seeds:
        ours = results[f"distil-{seed}"]
        real = [(one, results[f"real-{seed}-{one.name}"]) for one in trials]
        best, theirs = max(real, key=lambda pair: pair[1].number("score"))
        way, epoch = f"{best.batches} {best.rate:g}", f"{theirs.number('epoch'):.0f}"
        step, score = f"{ours.number('step'):.0f}", _percent(ours.number("score"))
        rows.append((str(seed), step, score, way, epoch, _percent(theirs.number("score"))))
    head = ("seed", "step", "distilled", "minibatches, rate", "epoch", "real")
    return Table("What validation images decided, and balanced accuracy on them, %", head, rows)


def _percent(value: float | None) -> Value:
    return Value("-" if value is None else f"{POINTS * value:.1f}", value)
