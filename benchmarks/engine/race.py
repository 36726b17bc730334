"""Time to quality: what our engine needs to reach the best score that Wang et al.'s recipe reaches.

Both distil the same data from the same kind of θ0, in processes of their own with one thread
(``runs``); each is scored on validation patches as it goes (``quality_time``). The figure of a
seed is the recipe's CPU-seconds when it was best, over ours when first as good.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Literal

from benchmarks.engine.rivals import Name
from gdshare.errors import RunError


@dataclass(frozen=True)
class Course:
    """One comparison.

    Attributes:
        task: pneumonia: PneumoniaMNIST, ConvNet; tb: shenzhen-a's films, ResNet18 at 32 px.
        budget: CPU-seconds that the recipe gets.
        batch: K of the recipe; its own 1024 was tried beside it and was slower to every score.
        ours_batch, ours_steps, ours_budget: K, planned training steps and CPU-seconds of ours,
            which ends with whichever comes first. Its trajectory is ``gdshare distill``'s own.
        score_every, ours_score_every: CPU-seconds; both sides get ten looks (twelve on tb).
        ours: our engine with its own labels, soft ones, or with the recipe's, which are hard.
    """

    task: Literal["pneumonia", "tb"]
    budget: float
    batch: int
    ours_batch: int
    ours_steps: int
    ours_budget: float
    score_every: float
    ours_score_every: float
    ours: Literal["ours", "ours-hard"]


COURSES = (
    Course("pneumonia", 1200.0, 64, 24, 1500, 300.0, 120.0, 30.0, "ours-hard"),
    Course("tb", 3600.0, 64, 24, 2400, 900.0, 300.0, 75.0, "ours"),
)
LABELS = {"ours": "ours with soft labels", "ours-hard": "ours with hard labels, like theirs"}
SEEDS = 3


@dataclass(frozen=True)
class Score:
    """A line of a run's scores: a mean over fresh θ0, and when it was taken."""

    cpu_seconds: float
    value: float


@dataclass(frozen=True)
class Finish:
    """One seed's result.

    Attributes:
        target: the recipe's best score, reached after ``theirs`` CPU-seconds.
        ours: CPU-seconds after which our engine was first as good; None: it never was.
        best: our own best score, reached after ``best_at`` CPU-seconds.
        matched: CPU-seconds after which the recipe was first as good as that; None: it never was.
    """

    seed: int
    target: float
    theirs: float
    ours: float | None
    best: float
    best_at: float
    matched: float | None

    @property
    def ratio(self) -> float | None:
        """How many times less ours took to their best: the figure of the comparison."""
        return None if self.ours is None else self.theirs / self.ours

    @property
    def ratio_back(self) -> float | None:
        """How many times more they took to our best, to tell a near miss from a far one."""
        return None if self.matched is None else self.matched / self.best_at


@dataclass(frozen=True)
class Result:
    """All seeds of a course."""

    course: Course
    stand_in: Name
    finishes: tuple[Finish, ...]

    @property
    def ratios(self) -> list[float]:
        """Of the seeds that got there."""
        return [finish.ratio for finish in self.finishes if finish.ratio is not None]

    def figures(self) -> dict[str, object]:
        """For JSON; the mean is null unless every seed got there."""
        complete = len(self.ratios) == len(self.finishes)
        return {
            "stand_in": self.stand_in,
            "budget_cpu_seconds": self.course.budget,
            "ratio_mean": mean(self.ratios) if complete else None,
            "ratio_deviation": stdev(self.ratios) if complete and len(self.ratios) > 1 else None,
            "seeds": [
                {
                    "seed": one.seed,
                    "target": one.target,
                    "their_cpu_seconds": one.theirs,
                    "our_cpu_seconds": one.ours,
                    "our_best": one.best,
                    "our_best_cpu_seconds": one.best_at,
                    "their_cpu_seconds_to_our_best": one.matched,
                    "ratio": one.ratio,
                }
                for one in self.finishes
            ],
        }


def finish(seed: int, theirs: Sequence[Score], ours: Sequence[Score]) -> Finish:
    """Compare two runs' scores.

    Raises:
        RunError: one of them has none.
    """
    if not theirs or not ours:
        raise RunError(f"time to quality, seed {seed}: a run has no score; run it again")
    top, best = (max(scores, key=lambda score: score.value) for scores in (theirs, ours))
    return Finish(
        seed,
        top.value,
        top.cpu_seconds,
        _first(ours, top.value),
        best.value,
        best.cpu_seconds,
        _first(theirs, best.value),
    )


def _first(scores: Sequence[Score], value: float) -> float | None:
    """CPU-seconds at which a run first scored as high; None: it never did."""
    reached = [score.cpu_seconds for score in scores if score.value >= value]
    return min(reached) if reached else None


def table(results: Sequence[Result]) -> str:
    """The tables for people."""
    lines = []
    for result in results:
        course = result.course
        lines += [
            f"CPU-seconds to the best score of {result.stand_in} in {course.budget:.0f} "
            f"CPU-seconds: {course.task}, {LABELS[course.ours]}",
            f"{'seed':>4}{'target':>9}{result.stand_in:>9}{'ours':>9}{'ratio':>8}"
            f"{'our best':>10}{'at':>7}{'they':>7}{'ratio':>8}",
        ]
        for one in result.finishes:
            lines.append(
                f"{one.seed:4}{one.target:9.3f}{one.theirs:9.0f}{_seconds(one.ours):>9}"
                f"{_times(one.ratio):>8}{one.best:10.3f}{one.best_at:7.0f}"
                f"{_seconds(one.matched):>7}{_times(one.ratio_back):>8}"
            )
        if len(result.ratios) > 1:
            lines.append(
                f"mean {mean(result.ratios):.1f}x, deviation {stdev(result.ratios):.1f} over the "
                f"{len(result.ratios)} of {len(result.finishes)} seeds that got there"
            )
    return "\n".join(lines)


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f}"


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}x"


def smallest_mean(results: Sequence[Result]) -> float | None:
    """The one figure: the smaller course mean; None when any seed never got there."""
    if any(len(result.ratios) < len(result.finishes) for result in results):
        return None
    return min(mean(result.ratios) for result in results)
