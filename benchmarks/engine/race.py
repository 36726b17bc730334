"""Time to quality: what our engine needs to reach the best score that Wang et al.'s recipe reaches.

Both distil the same data from the same kind of θ0, in processes of their own with one thread
(``runs``); each is scored on validation patches as it goes (``quality_time``). The figure of a
seed is the recipe's CPU-seconds when it was best, over ours when first as good.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import mean, stdev
from typing import Literal

from benchmarks.engine.rivals import Name
from benchmarks.engine.tasks import SCORE_INITS
from gdshare.errors import RunError


@dataclass(frozen=True)
class Course:
    """One comparison.

    Attributes:
        task: pneumonia: PneumoniaMNIST, ConvNet; tb: shenzhen-a's films, ResNet18 at 32 px.
        budget: CPU-seconds that the recipe gets.
        batch: K of the recipe; its own 1024 was tried once on pneumonia, and was slower to every
            score.
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
    """A look at a run: the score over fresh θ0, and when it was taken.

    Attributes:
        cpu_seconds: of training so far; 0 before the first step.
        value: mean over ``tasks.SCORE_INITS`` θ0.
        deviation: over these θ0.
    """

    cpu_seconds: float
    value: float
    deviation: float

    @property
    def standard_error(self) -> float:
        """Of the mean."""
        return self.deviation / sqrt(SCORE_INITS)


@dataclass(frozen=True)
class Times:
    """When each side was first as good as some score: CPU-seconds; None: it never was."""

    theirs: float | None
    ours: float | None

    @property
    def ratio(self) -> float | None:
        """How many times less ours took."""
        return None if self.theirs is None or self.ours is None else self.theirs / self.ours


@dataclass(frozen=True)
class Finish:
    """One seed's result.

    Attributes:
        seed: of both runs.
        theirs, ours: every look, in their order.
    """

    seed: int
    theirs: tuple[Score, ...]
    ours: tuple[Score, ...]

    @property
    def target(self) -> Score:
        """The recipe's best look."""
        return _best(self.theirs)

    @property
    def best(self) -> Score:
        """Our own best look."""
        return _best(self.ours)

    @property
    def at_their_best(self) -> Times:
        """The recipe at its best, ours when first as good: the figure of the comparison."""
        return Times(self.target.cpu_seconds, _first(self.ours, self.target.value))

    @property
    def at_our_best(self) -> Times:
        """Ours at its best, the recipe when first as good, to tell a near miss from a far one."""
        return Times(_first(self.theirs, self.best.value), self.best.cpu_seconds)

    @property
    def near_their_best(self) -> Times:
        """Either side when first within a standard error of the recipe's best.

        The best of a dozen noisy looks comes late by chance; this asks both the same question.
        """
        near = self.target.value - self.target.standard_error
        return Times(_first(self.theirs, near), _first(self.ours, near))


@dataclass(frozen=True)
class Result:
    """All seeds of a course."""

    course: Course
    stand_in: Name
    finishes: tuple[Finish, ...]

    @property
    def ratios(self) -> list[float] | None:
        """Of every seed; None: one of them never got there, so that a mean would leave it out."""
        found = [one.at_their_best.ratio for one in self.finishes]
        known = [ratio for ratio in found if ratio is not None]
        return known if len(known) == len(found) else None

    def figures(self) -> dict[str, object]:
        """For JSON; the mean is null unless every seed got there."""
        ratios = self.ratios
        return {
            "stand_in": self.stand_in,
            "budget_cpu_seconds": self.course.budget,
            "ratio_mean": mean(ratios) if ratios else None,
            "ratio_deviation": stdev(ratios) if ratios and len(ratios) > 1 else None,
            "seeds": [
                {
                    "seed": one.seed,
                    "target": one.target.value,
                    "their_cpu_seconds": one.at_their_best.theirs,
                    "our_cpu_seconds": one.at_their_best.ours,
                    "ratio": one.at_their_best.ratio,
                    "our_best": one.best.value,
                    "our_best_cpu_seconds": one.at_our_best.ours,
                    "their_cpu_seconds_to_our_best": one.at_our_best.theirs,
                    "within_standard_error": asdict(one.near_their_best)
                    | {"ratio": one.near_their_best.ratio},
                    "looks": {
                        "theirs": [asdict(look) for look in one.theirs],
                        "ours": [asdict(look) for look in one.ours],
                    },
                }
                for one in self.finishes
            ],
        }


def finish(seed: int, theirs: Sequence[Score], ours: Sequence[Score]) -> Finish:
    """Compare two runs' looks.

    Raises:
        RunError: one of them has none after its first training step.
    """
    for looks in (theirs, ours):
        if not _trained(looks):
            raise RunError(f"time to quality, seed {seed}: a run has no score; run it again")
    return Finish(seed, tuple(theirs), tuple(ours))


def _trained(looks: Sequence[Score]) -> list[Score]:
    """Those after some training: what the noise that both start from scores is no one's merit."""
    return [look for look in looks if look.cpu_seconds > 0]


def _best(looks: Sequence[Score]) -> Score:
    """The first of the best."""
    return max(_trained(looks), key=lambda look: look.value)


def _first(looks: Sequence[Score], value: float) -> float | None:
    """CPU-seconds at which a run first scored as high; None: it never did."""
    reached = [look.cpu_seconds for look in _trained(looks) if look.value >= value]
    return min(reached) if reached else None


def table(results: Sequence[Result]) -> str:
    """The tables for people."""
    return "\n\n".join(_course(result) for result in results)


def _course(result: Result) -> str:
    course, name = result.course, result.stand_in
    lines = [
        f"CPU-seconds to the best score of {name} in {course.budget:.0f} CPU-seconds: "
        f"{course.task}, {LABELS[course.ours]}; then to our own best; then to within a standard "
        f"error of {name}'s best",
        f"{'seed':>4}{'target':>9}{name:>9}{'ours':>9}{'ratio':>8}"
        f"{'our best':>10}{'at':>7}{name:>9}{'ratio':>8}"
        f"{'within':>9}{name:>9}{'ours':>9}{'ratio':>8}",
    ]
    for one in result.finishes:
        best, ours, near = one.at_their_best, one.at_our_best, one.near_their_best
        lines.append(
            f"{one.seed:4}{one.target.value:9.3f}{_seconds(best.theirs):>9}"
            f"{_seconds(best.ours):>9}{_times(best.ratio):>8}"
            f"{one.best.value:10.3f}{_seconds(ours.ours):>7}{_seconds(ours.theirs):>9}"
            f"{_times(ours.ratio):>8}{one.target.standard_error:9.3f}"
            f"{_seconds(near.theirs):>9}{_seconds(near.ours):>9}{_times(near.ratio):>8}"
        )
    lines += _mean(result)
    for one in result.finishes:
        lines += [
            f"seed {one.seed}, every look at {side}" + _looks(looks)
            for side, looks in (
                (name, one.theirs),
                ("ours", one.ours),
            )
        ]
    return "\n".join(lines)


def _mean(result: Result) -> list[str]:
    ratios, seeds = result.ratios, len(result.finishes)
    if ratios is None:
        missed = sum(one.at_their_best.ratio is None for one in result.finishes)
        return [f"no mean: {missed} of {seeds} seeds never got there"]
    if len(ratios) < 2:
        return []
    return [f"mean {mean(ratios):.1f}x, deviation {stdev(ratios):.1f} over {seeds} seeds"]


def _looks(looks: Sequence[Score]) -> str:
    """Score and CPU-seconds of each."""
    return ": " + ", ".join(f"{look.value:.3f} ({look.cpu_seconds:.0f} s)" for look in looks)


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f}"


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}x"


def smallest_mean(results: Sequence[Result]) -> float | None:
    """The one figure: the smaller course mean; None when any seed never got there."""
    means = [mean(result.ratios) if result.ratios else None for result in results]
    known = [one for one in means if one is not None]
    return min(known) if len(known) == len(means) else None
