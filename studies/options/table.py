"""The table for people, and the same as data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue, TypeAdapter

from benchmarks.pieces.claims import Facts
from studies.options.trial import GAVE_UP
from studies.options.variants import DEFAULT, Variant
from studies.quality.choices import number
from studies.quality.spread import deviation, mean
from studies.quality.tables import aligned

Trials = Mapping[Variant, Sequence[Facts]]
"""Variant -> what was found with each seed, seeds in the same order."""


@dataclass(frozen=True)
class Row:
    """One variant over all seeds.

    Attributes:
        name: of the variant.
        gave_up: seeds on which it, or the defaults, could not be finished; all else is of the
            others.
        steps: training steps, of each seed.
        loss: mean training loss over seeds and θ0, nats; None where one is not finite.
        accuracy: class-balanced, on training windows; None without a seed.
        score: patch score on validation patients, of each seed.
        gains: that minus the defaults', seed by seed.
    """

    name: str
    gave_up: int
    steps: list[int]
    loss: float | None
    accuracy: float | None
    score: list[float]
    gains: list[float]


def rows_of(trials: Trials) -> list[Row]:
    """Every variant against the defaults."""
    return [
        _row(variant.name, list(zip(found, trials[DEFAULT], strict=True)))
        for variant, found in trials.items()
    ]


def _row(name: str, trials: Sequence[tuple[Facts, Facts]]) -> Row:
    """Of a variant's trials, each beside the defaults' of the same seed."""
    pairs = [pair for pair in trials if not any(GAVE_UP in one for one in pair)]
    own = [mine for mine, _ in pairs]
    score, base = (_each(side, "patch_score") for side in (own, [one for _, one in pairs]))
    return Row(
        name,
        len(trials) - len(pairs),
        [int(step) for step in _each(own, "outer_steps")],
        _loss(own),
        mean(_each(own, "accuracy")) if own else None,
        score,
        [a - b for a, b in zip(score, base, strict=True)],
    )


def text(rows: Sequence[Row]) -> str:
    """The table."""
    seeds = rows[0].gave_up + len(rows[0].score)
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
            "gave_up": row.gave_up,
            "outer_steps": list(row.steps),
            "loss": row.loss,
            "accuracy": row.accuracy,
            "patch_scores": list(row.score),
            "gain_mean": mean(row.gains) if row.gains else None,
            "gain_deviation": deviation(row.gains),
        }
        for row in rows
    ]


def _line(row: Row) -> tuple[str, ...]:
    if row.accuracy is None:
        return (row.name, "gave up", "", "", "", "", "")
    spread = deviation(row.gains)
    return (
        row.name + (f" (gave up on {row.gave_up})" if row.gave_up else ""),
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
    return mean(losses) if losses and len(losses) == sum(map(len, values)) else None
