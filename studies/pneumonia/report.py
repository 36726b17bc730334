"""Balanced accuracy of networks on the test images, and whether the target is reached."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from pydantic_core import to_jsonable_python

from gdshare.metrics import RESAMPLES
from gdshare.seeding import numpy_generator
from studies.command import Report
from studies.intervals import Ends, Float, deviation, interval, mean, resamples
from studies.pneumonia.plan import Plan
from studies.runner import Cell, Result
from studies.tables import Row, Table, Value, costs, difference

Calls = npt.NDArray[np.uint8]

TARGET = 3.0
"""Points of balanced accuracy by which distilled images may fall behind all real ones."""
POINTS = 100.0

NOTES = (
    "PneumoniaMNIST, the ConvNet with two outputs at 32 px. Training step, epoch, learning rate "
    "and minibatches were chosen on validation images; every figure of accuracy is of test "
    "images. k: networks that vote together, each from a θ0 of its own; a seed's figure is the "
    "mean over its {networks} fresh θ0, or over the disjoint teams that they make. The real side "
    "is a single network a seed, since each costs a training: k = 1 is what the target is held "
    "against.",
    "Differences: distilled minus real, with 95% intervals from resampling test images within "
    "class. Which images are of one patient is not known in this set; where a patient has several, "
    "the interval is too narrow. Seeds and θ0 are averaged over, not resampled.",
)


def report_of(
    plan: Plan, seeds: Sequence[int], cells: Sequence[Cell], results: Mapping[str, Result]
) -> Report:
    """The tables, and the answer."""
    judged = [results[f"judge-{seed}"].arrays for seed in seeds]
    truth, reals = judged[0]["truth"], [one["real"] for one in judged]
    drawn = resamples(
        truth.astype(np.int64),
        np.arange(len(truth)),
        numpy_generator(0, "pneumonia-resamples"),
        RESAMPLES,
    )
    singles = [one["distilled"] for one in judged]
    voting = [teams(one, plan.team) for one in singles]
    gaps = [
        gap([called for seed in models for called in seed], reals, truth, drawn)
        for models in (singles, voting)
    ]
    images = int(results[f"real-{seeds[0]}-{plan.trials[0].name}"].number("images"))
    rows: list[Row] = [
        (*_accuracy("2 distilled, k = 1", singles, truth), difference(*gaps[0], digits=1)),
        (
            *_accuracy(f"2 distilled, k = {plan.team}", voting, truth),
            difference(*gaps[1], digits=1),
        ),
        (*_accuracy(f"{images} real", [one[None] for one in reals], truth), ""),
    ]
    title = f"Balanced accuracy on test images, %, mean and ± over {len(seeds)} seeds"
    tables = [
        Table(title, ("model", "mean", "±", "points to real"), rows),
        _decided(plan, seeds, results),
        costs("CPU-seconds", cells, results, each=False),
    ]
    figures = {
        "plan": to_jsonable_python(plan),
        "target_points": -TARGET,
        "target_reached": gaps[0][0] >= -TARGET,
        "target_reached_by_whole_interval": gaps[0][1][0] >= -TARGET,
        "interval": "95%, test images resampled within class; patients are not known",
        "tables": [table.as_data() for table in tables],
    }
    notes = [note.format(networks=plan.networks) for note in NOTES]
    told = [*notes, str(tables[0]), answer(images, *gaps[0]), *map(str, tables[1:])]
    return Report("\n\n".join(told), figures)


def answer(images: int, points: float, ends: Ends) -> str:
    """Whether the target is reached, in a sentence."""
    word = "" if points >= -TARGET else "NOT "
    whole = "wholly" if ends[0] >= -TARGET else "not wholly"
    return (
        f"Target: two distilled images come {word}within {TARGET:g} points of {images} real "
        f"ones ({difference(points, ends, digits=1).text}; the interval is {whole} above "
        f"{-TARGET:g})."
    )


def teams(called: Calls, size: int) -> Calls:
    """What disjoint teams of networks call the images by most votes; a tie is normal.

    Uint8 [networks, images] -> uint8 [teams, images].
    """
    count = len(called) // size
    votes = called[: count * size].reshape(count, size, -1).sum(1, dtype=np.int64)
    most: Calls = (2 * votes > size).astype(np.uint8)
    return most


def balanced_accuracy(called: Calls, truth: Calls) -> float:
    """The mean over classes of the share called right: [images] and [images] -> [0, 1]."""
    return float(
        _balanced((called == truth).astype(np.float64), np.ones((1, len(truth))), truth)[0]
    )


def gap(
    first: Sequence[Calls], second: Sequence[Calls], truth: Calls, drawn: Float
) -> tuple[float, Ends]:
    """How far the mean balanced accuracy of some models is above that of others, in points.

    Both are judged on the same resamples. Only the images are resampled: the spread between seeds
    and θ0 is averaged over, and not in the interval.
    """
    # Balanced accuracy is linear in the hits, so the models' mean hits have the mean accuracy.
    ahead = _mean_hits(first, truth) - _mean_hits(second, truth)
    (observed,) = POINTS * _balanced(ahead, np.ones((1, len(truth))), truth)
    return float(observed), interval(POINTS * _balanced(ahead, drawn, truth))


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


def _decided(plan: Plan, seeds: Sequence[int], results: Mapping[str, Result]) -> Table:
    rows = []
    for seed in seeds:
        ours = results[f"distil-{seed}"]
        best = max(plan.trials, key=lambda one: results[f"real-{seed}-{one.name}"].number("score"))
        theirs = results[f"real-{seed}-{best.name}"]
        rows.append(
            (
                str(seed),
                f"{ours.number('step'):.0f}",
                _percent(ours.number("score")),
                f"{best.batches} {best.rate:g}",
                f"{theirs.number('epoch'):.0f}",
                _percent(theirs.number("score")),
            )
        )
    head = ("seed", "step", "distilled", "minibatches, rate", "epoch", "real")
    return Table("What validation images decided, and balanced accuracy on them, %", head, rows)


def _percent(value: float | None) -> Value:
    return Value("-" if value is None else f"{POINTS * value:.1f}", value)
