"""From finished pieces to figures, and whether the target is reached."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pieces.claims import Piece, facts
from gdshare.metrics import RESAMPLES
from gdshare.seeding import numpy_generator
from studies.pneumonia.figures import (
    Calls,
    Gap,
    Judged,
    balanced_accuracy,
    gap,
    resamples,
)
from studies.pneumonia.judging import best_trial, read_judged
from studies.pneumonia.plan import TARGET, PneumoniaPlan, Trial, distil_name, real_name
from studies.quality.choices import number
from studies.quality.costs import Spent, spent_on
from studies.quality.spread import mean


@dataclass(frozen=True)
class Row:
    """Balanced accuracy of one kind of model on the test images.

    Attributes:
        name: of the row.
        values: of each seed, in [0, 1].
        gap: to the real side; None of the real side itself.
    """

    name: str
    values: list[float]
    gap: Gap | None


@dataclass(frozen=True)
class Chosen:
    """What one seed's validation images decided.

    Attributes:
        step, distilled_score: the distillation's best scored state, and its balanced accuracy.
        trial, epoch, real_score: the best training on real images, and the same of it.
    """

    step: int
    distilled_score: float
    trial: Trial
    epoch: int
    real_score: float


@dataclass(frozen=True)
class Report:
    """Everything that is told.

    Attributes:
        images: training images of the real side.
        networks: θ0 of each seed that networks are trained from on distilled images.
        singles, teams: these networks alone, and voting together.
        real: the networks trained on real images.
        chosen: of each seed.
        spent: CPU-seconds of every piece.
    """

    images: int
    networks: int
    singles: Row
    teams: Row
    real: Row
    chosen: list[Chosen]
    spent: tuple[Spent, ...]

    @property
    def rows(self) -> tuple[Row, Row, Row]:
        """All of them."""
        return self.singles, self.teams, self.real

    @property
    def reached(self) -> bool:
        """Single networks fall behind by no more than the target."""
        return self.singles.gap is not None and self.singles.gap.points >= -TARGET

    @property
    def surely_reached(self) -> bool:
        """Even the low end of their interval does not fall behind by more."""
        return self.singles.gap is not None and self.singles.gap.interval.low >= -TARGET


def measure(
    plan: PneumoniaPlan,
    out: Path,
    seeds: Sequence[int],
    pieces: Sequence[Piece],
    count: int = RESAMPLES,
) -> Report:
    """Read every finished piece and work out the figures.

    Args:
        plan: what is measured.
        out: folder of the whole benchmark.
        seeds: one comparison each.
        pieces: all of them.
        count: of resamples.

    Raises:
        RunError: a piece is not done, or damaged.
    """
    judged = [read_judged(out, seed) for seed in seeds]
    truth = judged[0].truth
    drawn = resamples(truth, numpy_generator(0, "pneumonia-resamples"), count)
    reals = [one.real for one in judged]

    def row(name: str, models: Sequence[Calls]) -> Row:
        ours = [called for seed in models for called in seed]
        return Row(name, _by_seed(models, judged), gap(ours, reals, truth, drawn))

    images = int(number(facts(out, real_name(seeds[0], plan.trials[0]))["images"]))
    return Report(
        images,
        plan.networks,
        row("2 distilled, k = 1", [one.distilled for one in judged]),
        row(f"2 distilled, k = {plan.team}", [one.teams(plan.team) for one in judged]),
        Row(f"{images} real", _by_seed([real[None] for real in reals], judged), None),
        [_chosen(plan, out, seed) for seed in seeds],
        spent_on(out, pieces),
    )


def _by_seed(models: Sequence[Calls], judged: Sequence[Judged]) -> list[float]:
    """Of each seed the mean over its models: [seed] of uint8 [models, images] -> [seed]."""
    return [
        mean([balanced_accuracy(called, seed.truth) for called in calls])
        for calls, seed in zip(models, judged, strict=True)
    ]


def _chosen(plan: PneumoniaPlan, out: Path, seed: int) -> Chosen:
    ours, trial = facts(out, distil_name(seed)), best_trial(plan, seed, out)
    theirs = facts(out, real_name(seed, trial))
    return Chosen(
        int(number(ours["step"])),
        number(ours["score"]),
        trial,
        int(number(theirs["epoch"])),
        number(theirs["score"]),
    )
