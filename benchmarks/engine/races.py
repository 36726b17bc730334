"""Time to quality: what our engine needs to reach the best score that Wang et al.'s code reaches.

Both distil the same data from the same kind of θ0 on one thread, and are scored on validation
patches as they go (``timed_run``). The figure of a seed is their CPU-seconds when they were best,
over ours when first as good.

It is a study: a cell is both sides' runs of one seed, since CPU-seconds can only be compared on one
machine.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Literal

import torch
from pydantic import JsonValue, TypeAdapter

from benchmarks.command import machine
from benchmarks.engine import tasks
from benchmarks.engine.recipe import RECIPE, RecipeSettings
from benchmarks.engine.rivals import Name, make
from benchmarks.engine.ssnl import COMMIT, SHA256, digest
from benchmarks.engine.tasks import FILMS_SHA256, PNEUMONIA_SHA256, SCORE_INITS
from benchmarks.engine.timed_run import Line, TimedRun
from gdshare.cohort import label_cohort
from gdshare.errors import RunError, UsageError
from gdshare.method import Settings
from gdshare.networks import INITIALISERS
from gdshare.storage import write_json
from studies import runner
from studies.command import Study
from studies.report import Report
from studies.runner import Cell, Piece, Store

STUDY = "races"
KIND = "quality"
"""What ``--only`` calls a race."""
COHORT = "cohort"
MACHINE = "machine.json"
FILES = {"pneumonia": tasks.PNEUMONIA, "tb": tasks.FILMS}
NETWORKS: Mapping[str, Literal["convnet", "resnet18"]] = {"pneumonia": "convnet", "tb": "resnet18"}
DECISIVE = {"inner_rate", "inner_rates", "label_scale", "outer_decay", "outer_rate"}
"""Those of our defaults that decide a run, beside what a course names."""


@dataclass(frozen=True)
class Side:
    """How one side works."""

    rival: Name
    budget: float  # CPU-seconds of training
    batch: int  # K; the recipe's own 1024, tried once on pneumonia, was slower to every score
    inner_steps: int  # E · I
    outer_steps: int | None  # training steps after which it ends; None: it uses up its budget
    score_every: float  # CPU-seconds


@dataclass(frozen=True)
class Course:
    """One comparison; both sides are scored ten times (theirs twelve times on tb).

    Our engine works with its own labels, soft ones, or with the recipe's, which are hard. The
    trajectory is ``gdshare distill``'s own.
    """

    task: Literal["pneumonia", "tb"]  # PneumoniaMNIST, ConvNet; shenzhen-a, ResNet18 at 32 px
    data_sha256: str  # of the file that says which data it is
    theirs: Side
    ours: Side


OUR_STEPS = Settings(network="convnet").trajectory
COURSES = (
    Course(
        "pneumonia",
        PNEUMONIA_SHA256,
        Side("ssnl", 1200.0, 64, 9, None, 120.0),
        Side("ours-hard", 300.0, 24, OUR_STEPS, 1500, 30.0),
    ),
    Course(
        "tb",
        FILMS_SHA256,
        Side("ssnl", 3600.0, 64, 9, None, 300.0),
        Side("ours", 900.0, 24, OUR_STEPS, 2400, 75.0),
    ),
)
LABELS = {"ours": "ours with soft labels", "ours-hard": "ours with hard labels, like theirs"}
SEEDS = 3


@dataclass(frozen=True)
class Evaluation:
    """The score of a run's images: mean and deviation over ``SCORE_INITS`` fresh θ0."""

    cpu_seconds: float  # of training so far; 0 before the first step
    value: float
    deviation: float


@dataclass(frozen=True)
class Times:
    """When each side first reached some score: CPU-seconds; None: it never did."""

    theirs: float | None
    ours: float | None

    @property
    def ratio(self) -> float | None:
        return None if self.theirs is None or self.ours is None else self.theirs / self.ours

    def __str__(self) -> str:
        return f"{_seconds(self.theirs):>9}{_seconds(self.ours):>9}{_times(self.ratio):>8}"


@dataclass(frozen=True)
class Finish:
    """One seed's result: every evaluation of both sides, in their order."""

    seed: int
    theirs: tuple[Evaluation, ...]
    ours: tuple[Evaluation, ...]

    @property
    def target(self) -> Evaluation:
        """Their best, which counts."""
        return self._best(self.theirs)

    @property
    def best(self) -> Evaluation:
        return self._best(self.ours)

    @property
    def error(self) -> float:
        """Standard error of their best score."""
        return self.target.deviation / sqrt(SCORE_INITS)

    @property
    def ratio(self) -> float | None:
        return self.first(self.target.value).ratio

    def first(self, value: float) -> Times:
        """When each side was first as good."""
        theirs, ours = (
            next((e.cpu_seconds for e in _trained(side) if e.value >= value), None)
            for side in (self.theirs, self.ours)
        )
        return Times(theirs, ours)

    def _best(self, evaluations: Sequence[Evaluation]) -> Evaluation:
        if trained := _trained(evaluations):
            return max(trained, key=lambda evaluation: evaluation.value)
        raise RunError("a run has no score", f"time to quality, seed {self.seed}", "run again")


def _trained(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Step 0 is excluded: both sides start from the same noise."""
    return [evaluation for evaluation in evaluations if evaluation.cpu_seconds > 0]


@dataclass(frozen=True)
class Result:
    """A course's seeds, as far as they are done."""

    course: Course
    seeds: int
    finishes: tuple[Finish, ...]

    @property
    def mean(self) -> float | None:
        """Of the seeds' ratios; None: a seed is not done, or ours never got there on it."""
        ratios = [finish.ratio for finish in self.finishes]
        known = [ratio for ratio in ratios if ratio is not None]
        return mean(known) if len(known) == self.seeds else None

    def figures(self) -> dict[str, object]:
        return {
            "rival": self.course.theirs.rival,
            "budget_cpu_seconds": self.course.theirs.budget,
            "ratio_mean": self.mean,
            "seeds": [asdict(finish) | {"ratio": finish.ratio} for finish in self.finishes],
        }


def smallest_mean(results: Sequence[Result]) -> float | None:
    """The one figure: the smaller course mean; None where a seed has no ratio."""
    means = [result.mean for result in results if result.mean is not None]
    return min(means, default=None) if len(means) == len(results) else None


def table(results: Sequence[Result]) -> str:
    """Of every course; three readings of each seed, the last two to tell a near miss from a far one
    and a best score that came late by chance.
    """
    return "\n\n".join(_course(result) for result in results)


def _course(result: Result) -> str:
    course, name = result.course, result.course.theirs.rival
    sides = f"{name:>9}{'ours':>9}{'ratio':>8}"
    lines = [
        f"CPU-seconds to the best score of {name} in {course.theirs.budget:.0f} CPU-seconds: "
        f"{course.task}, {LABELS[course.ours.rival]}; then to our own best; then to within a "
        f"standard error of {name}'s best",
        f"{'seed':>4}{'target':>9}{sides}"
        f"{'our best':>10}{'at':>7}{name:>9}{'ratio':>8}{'within':>9}{sides}",
    ]
    for finish in result.finishes:
        target, own = finish.target.value, finish.first(finish.best.value)
        lines.append(
            f"{finish.seed:4}{target:9.3f}{finish.first(target)}"
            f"{finish.best.value:10.3f}{_seconds(own.ours):>7}{_seconds(own.theirs):>9}"
            f"{_times(own.ratio):>8}{finish.error:9.3f}{finish.first(target - finish.error)}"
        )
    lines.append(_mean(result))
    for finish in result.finishes:
        for side, evaluations in ((name, finish.theirs), ("ours", finish.ours)):
            shown = ", ".join(f"{e.value:.3f} ({e.cpu_seconds:.0f} s)" for e in evaluations)
            lines.append(f"seed {finish.seed}, every look at {side}: {shown}")
    return "\n".join(lines)


def _mean(result: Result) -> str:
    ratios = [finish.ratio for finish in result.finishes if finish.ratio is not None]
    if left := result.seeds - len(result.finishes):
        return f"no mean: {left} of {result.seeds} seeds are not done"
    if missed := result.seeds - len(ratios):
        return f"no mean: {missed} of {result.seeds} seeds never got there"
    if len(ratios) == 1:
        return "no deviation: there is one seed"
    return f"mean {mean(ratios):.1f}x, deviation {stdev(ratios):.1f} over {len(ratios)} seeds"


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f}"


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}x"


@dataclass(frozen=True)
class RaceParameters:
    """All that decides a race but its seed."""

    course: Course
    checkout_sha256: str | None  # None: not their code
    recipe: RecipeSettings
    defaults: Mapping[str, JsonValue]  # those of ``gdshare distill`` that a course leaves alone
    initialiser: str


def study(
    seeds: int,
    data: Path,
    checkout: Path | None,
    store: Store,
    reporting: bool = False,
    courses: Sequence[Course] = COURSES,
) -> Study:
    """Every race from seed 0, and what those that are done come to; ``reporting``: none is run."""
    if seeds < 1:
        raise UsageError("there must be one or more", f"--seeds {seeds}")
    cells = cells_of(courses, seeds, data, checkout)
    done = store.done(cells)
    for course in () if reporting else courses:
        if any(_name(course, seed) not in done for seed in range(seeds)):
            _require_same(course, data, checkout)
    return Study(None, cells, partial(report, courses, seeds), partial=True)


def report(courses: Sequence[Course], seeds: int, results: Mapping[str, runner.Result]) -> Report:
    """The tables and the figures of the races that are done."""
    compared = [Result(course, seeds, finishes(course, seeds, results)) for course in courses]
    figures = {
        "time_to_quality_ratio_vs_ssnl": smallest_mean(compared),
        "time_to_quality": {result.course.task: result.figures() for result in compared},
    }
    return Report(table(compared), figures)


def cells_of(
    courses: Sequence[Course], seeds: int, data: Path, checkout: Path | None
) -> list[Cell]:
    """Every race, the longest first, and before them the films' patches."""
    cut = {
        "protocol": tasks.FILMS_PROTOCOL,
        "split": tasks.FILMS_SPLIT,
        "films_sha256": FILMS_SHA256,
    }
    cohort = Cell(COHORT, COHORT, partial(_cut, data), cut, cpu_seconds=3)
    races = [
        Cell(
            _name(course, seed),
            KIND,
            partial(_race, data, checkout),
            _parameters(course),
            seed,
            {COHORT: cohort} if course.task == "tb" else {},
            cpu_seconds=course.theirs.budget + course.ours.budget,
            resumable=True,
        )
        for course in sorted(courses, key=lambda course: course.theirs.budget, reverse=True)
        for seed in range(seeds)
    ]
    return [cohort, *races] if any(course.task == "tb" for course in courses) else races


def finishes(
    course: Course, seeds: int, results: Mapping[str, runner.Result]
) -> tuple[Finish, ...]:
    """Both sides' evaluations of the course's seeds that are done."""
    done = {seed: results.get(_name(course, seed)) for seed in range(seeds)}
    return tuple(
        Finish(seed, evaluations(race.facts["theirs"]), evaluations(race.facts["ours"]))
        for seed, race in done.items()
        if race is not None
    )


def evaluations(lines: JsonValue) -> tuple[Evaluation, ...]:
    """One side's, in their order; a divergence has no score."""
    return tuple(
        Evaluation(line["cpu_seconds"], line["score"], line["deviation"])
        for line in TypeAdapter(list[Line]).validate_python(lines)
        if "score" in line
    )


def _name(course: Course, seed: int) -> str:
    return f"{course.task}-{course.theirs.rival}-{seed}"


def _parameters(course: Course) -> RaceParameters:
    network, theirs = NETWORKS[course.task], course.theirs.rival
    defaults = Settings(network=network).model_dump(mode="json", include=DECISIVE)
    code = SHA256 if theirs == "ssnl" else None
    return RaceParameters(course, code, RECIPE, defaults, INITIALISERS[network])


def _require_same(course: Course, data: Path, checkout: Path | None) -> None:
    """Refuse other data and other code of theirs than a race is declared for."""
    file = data / FILES[course.task]
    if tasks.data_digest(file) != course.data_sha256:
        raise UsageError(f"not the data of the race {course.task}", file, "give that by --data")
    if course.theirs.rival == "ssnl" and digest(checkout) != SHA256:
        raise UsageError("not their code as published", checkout, f"check out {COMMIT} unchanged")


def _cut(data: Path, piece: Piece, parameters: object) -> runner.Result:
    """The cell that cuts the films' patches."""
    cohort = piece.folder / COHORT
    if not cohort.exists():
        label_cohort(data / tasks.FILMS, cohort, tasks.FILMS_PROTOCOL, tasks.FILMS_SPLIT, seed=0)
    return runner.Result()


def _race(
    data: Path, checkout: Path | None, piece: Piece, parameters: RaceParameters
) -> runner.Result:
    """The cell that is both runs, theirs first; each goes on at its checkpoint."""
    _require_same_machine(piece.folder / MACHINE)
    course = parameters.course
    facts: dict[str, JsonValue] = {"machine": machine()}
    for name, side in (("theirs", course.theirs), ("ours", course.ours)):
        size = (side.batch, side.inner_steps, piece.seed, side.outer_steps or 1000)
        if course.task == "pneumonia":
            task = tasks.pneumonia(data / tasks.PNEUMONIA, *size)
        else:
            task = tasks.tuberculosis(piece.needs[COHORT].folder / COHORT, *size)
        engine = make(side.rival, task.problem, checkout)
        timed = TimedRun(
            piece.folder / name, task, engine, side.budget, side.outer_steps, side.score_every
        )
        facts[name] = [dict(line) for line in timed.finish(piece.keep, lambda: piece.over)]
    return runner.Result(facts)


def _require_same_machine(path: Path) -> None:
    """Note where a race was begun, or refuse to go on with it elsewhere or with another torch."""
    here = {"machine": machine(), "torch": torch.__version__}
    if not path.exists():
        write_json(path, here)
    elif (before := json.loads(path.read_bytes())) != here:
        where = ", ".join(before.values())
        what = f"begun on another machine ({where}), whose CPU-seconds cannot be compared"
        raise RunError(what, path, "remove the folder, and run again")
