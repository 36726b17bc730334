"""The table for people, and the same as data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue, TypeAdapter

from benchmarks.options.variants import DEFAULT, Variant
from benchmarks.pieces.claims import Facts
from benchmarks.quality.choices import number
from benchmarks.quality.spread import deviation, mean
from benchmarks.quality.tables import aligned

Trials = Mapping[Variant, Sequence[Facts]]
"""Variant -> what was found with each seed, seeds in the same order."""


@dataclass(frozen=True)
class Row:
    """One variant over all seeds.

    Attributes:
        name: of the variant.
        steps: training steps, of each seed.
        loss: mean training loss over seeds and θ0, nats; None where one is not finite.
        accuracy: class-balanced, on training windows.
        score: patch score on validation patients, of each seed.
        gains: that minus the defaults', seed by seed.
    """

    name: str
    steps: list[int]
    loss: float | None
    accuracy: float
    score: list[float]
    gains: list[float]


def rows_of(trials: Trials) -> list[Row]:
    """Every variant against the defaults."""
    base = _each(trials[DEFAULT], "patch_score")
    return [
        Row(
            variant.name,
            [int(step) for step in _each(found, "outer_steps")],
            _loss(found),
            mean(_each(found, "accuracy")),
            _each(found, "patch_score"),
            [a - b for a, b in zip(_each(found, "patch_score"), base, strict=True)],
        )
        for variant, found in trials.items()
    ]


def text(rows: Sequence[Row]) -> str:
    """The table."""
    seeds = len(rows[0].score)
    title = (
        "Told one thing, for the CPU-seconds of the defaults: training loss (nats) and accuracy, "
        f"patch score on validation patients, and its gain on the defaults; mean of {seeds} "
        "seed(s), ± the gain's deviation over them"
    )
    head = ("", "steps", "loss", "accuracy", "patch score", "gain", "±")
    return aligned(title, head, [_line(row) for row in rows])


def as_data(rows: Sequence[Row]) -> list[JsonValue]:
    """For JSON."""
    return [
        {
            "variant": row.name,
            "outer_steps": list(row.steps),
            "loss": row.loss,
            "accuracy": row.accuracy,
            "patch_scores": list(row.score),
            "gain_mean": mean(row.gains),
            "gain_deviation": deviation(row.gains),
        }
        for row in rows
    ]


def _line(row: Row) -> tuple[str, ...]:
    spread = deviation(row.gains)
    return (
        row.name,
        f"{mean(row.steps):.0f}",
        "not finite" if row.loss is None else f"{row.loss:.3f}",
        f"{row.accuracy:.3f}",
        f"{mean(row.score):.3f}",
        f"{mean(row.gains):+.3f}",
        "" if spread is None else f"{spread:.3f}",
    )


def _each(found: Sequence[Facts], name: str) -> list[float]:
    return [number(one[name]) for one in found]


def _loss(found: Sequence[Facts]) -> float | None:
    values = TypeAdapter(list[list[float | None]]).validate_python([one["losses"] for one in found])
    losses = [loss for seed in values for loss in seed if loss is not None]
    return mean(losses) if len(losses) == sum(map(len, values)) else None
