"""The races of time to quality as a study: each seed a cell, shared, resumable, archived.

A cell is both sides' runs of one seed: CPU-seconds can only be compared on one machine.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from pydantic import JsonValue, TypeAdapter

from benchmarks.command import machine
from benchmarks.engine import tasks
from benchmarks.engine.race import (
    COURSES,
    Course,
    Evaluation,
    Finish,
    Result,
    smallest_mean,
    table,
)
from benchmarks.engine.recipe import RECIPE, RecipeSettings
from benchmarks.engine.rivals import make, require_checkout
from benchmarks.engine.ssnl import COMMIT, SHA256, digest
from benchmarks.engine.timed_run import Line, TimedRun
from gdshare.errors import RunError, UsageError
from gdshare.method import Settings
from gdshare.networks import INITIALISERS
from gdshare.storage import write_json
from studies import runner
from studies.command import Report, Study
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
    """Every race from seed 0, and what those that are done come to; ``reporting``: none is run.

    Raises:
        UsageError: no seed; the data or the checkout are missing, or are others.
    """
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
        "films_sha256": tasks.FILMS_SHA256,
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
    network = NETWORKS[course.task]
    return RaceParameters(
        course,
        SHA256 if course.theirs.rival == "ssnl" else None,
        RECIPE,
        Settings(network=network).model_dump(mode="json", include=DECISIVE),
        INITIALISERS[network],
    )


def _require_same(course: Course, data: Path, checkout: Path | None) -> None:
    """Refuse other data and other code of theirs than a race is declared for."""
    file = data / FILES[course.task]
    if tasks.data_digest(file) != course.data_sha256:
        raise UsageError(f"not the data of the race {course.task}", file, "give that by --data")
    if course.theirs.rival == "ssnl" and digest(require_checkout(checkout)) != SHA256:
        raise UsageError("not their code as published", checkout, f"check out {COMMIT} unchanged")


def _cut(data: Path, piece: Piece, parameters: object) -> runner.Result:
    """The cell that cuts the films' patches."""
    tasks.cut_films(data, piece.folder / COHORT)
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
