"""The races of time to quality as pieces of work: shared between processes, kept when done.

A piece is both sides' runs of one seed: CPU-seconds can only be compared on one machine.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from pydantic import JsonValue, TypeAdapter

from benchmarks.engine.race import COURSES, Course, Result, Score, finish
from benchmarks.engine.recipe import RECIPE
from benchmarks.engine.rivals import Name
from benchmarks.engine.run_folder import SCORES, RunFolder
from benchmarks.engine.scale import run_alone
from benchmarks.engine.ssnl import digest
from benchmarks.engine.tasks import STEPS
from benchmarks.pieces.archive import do_kept, open_plans
from benchmarks.pieces.claims import Facts, Piece, Watch, claimed, facts
from gdshare.cohort import label_cohort
from gdshare.errors import RunError, UsageError
from gdshare.method import Settings
from gdshare.networks import INITIALISERS
from gdshare.protocol import Protocol
from studies.pneumonia.images import real_images

HOSPITAL = "shenzhen-a"
COHORT_PROTOCOL = Protocol(patch=75, stride=13, side=32)
SPLIT = (0.6, 0.2, 0.2)
COHORT = "cohort"
SIDES = ("theirs", "ours")
DECISIVE = {"inner_rate", "inner_rates", "label_scale", "outer_decay", "outer_rate"}
"""Those of our defaults that decide a run, beside what a course names."""


def hold(
    seeds: int,
    data: Path,
    out: Path,
    archive: Path | None,
    checkout: Path | None,
    say: Callable[[str], None],
    courses: Sequence[Course] = COURSES,
) -> list[Result]:
    """Do every run that is not done yet, each in a process of its own, and compare them.

    Args:
        seeds: comparisons of each course, from seed 0; more of them may be asked for later.
        data: folder that holds medmnist/ and tb_cxr/.
        out: folder for the runs.
        archive: where the scores of finished runs are, and are kept.
        checkout: of ssnl/dataset-distillation; without it ``recipe`` stands in.
        say: told of each run.
        courses: what to compare.

    Raises:
        UsageError: no seed, the films are not there, or it is no such checkout.
        CohortError: PneumoniaMNIST is not there.
        RunError: a run failed or has no score, or a folder holds runs of another plan, other data
            or other code of theirs.
    """
    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: there must be one or more")
    tables: dict[str, str] = {course.task: _digest(course, data) for course in courses}
    if checkout is not None:
        tables["ssnl"] = digest(checkout)
    open_plans(out, archive, plan_of(courses), tables)
    stand_in: Name = "recipe" if checkout is None else "ssnl"
    pieces = pieces_of(courses, stand_in, seeds, data, out, checkout, say)
    # What a run takes is spent by its own process.
    do_kept(out, archive, pieces, say, clock=_with_children)
    return [
        Result(
            course,
            stand_in,
            tuple(
                finish(seed, *(scores(out, name_of(course, stand_in, seed), s) for s in SIDES))
                for seed in range(seeds)
            ),
        )
        for course in courses
    ]


def pieces_of(
    courses: Sequence[Course],
    stand_in: Name,
    seeds: int,
    data: Path,
    out: Path,
    checkout: Path | None,
    say: Callable[[str], None],
) -> list[Piece]:
    """Every race, and the films' patches before them.

    The longest come first, so that processes that share them end at about the same time.
    """
    films = any(course.task == "tb" for course in courses)
    cohort = out / COHORT / COHORT
    races = [
        Piece(
            name_of(course, stand_in, seed),
            "race",
            partial(
                _race,
                {
                    "theirs": _options(course, stand_in, seed, data, cohort, checkout),
                    "ours": _options(course, course.ours, seed, data, cohort, None),
                },
                say,
            ),
            (COHORT,) if course.task == "tb" else (),
        )
        for course in sorted(courses, key=lambda course: course.budget, reverse=True)
        for seed in range(seeds)
    ]
    return [Piece(COHORT, "cohort", partial(_cut, data)), *races] if films else races


def name_of(course: Course, stand_in: Name, seed: int) -> str:
    """Of a race's folder."""
    return f"{course.task}-{stand_in}-{seed}"


def plan_of(courses: Sequence[Course]) -> dict[str, JsonValue]:
    """Everything that decides a run but its seed, as plain JSON data."""
    plan: dict[str, JsonValue] = json.loads(
        json.dumps(
            {
                "courses": {course.task: asdict(course) for course in courses},
                "protocol": COHORT_PROTOCOL.model_dump(mode="json"),
                "split": SPLIT,
                "inner_steps": {"theirs": STEPS, "ours": Settings().trajectory},
                "recipe": asdict(RECIPE),
                "ours": {
                    name: Settings.model_validate({"network": name}).model_dump(include=DECISIVE)
                    for name in INITIALISERS
                },
                "initialisers": dict(INITIALISERS),
            }
        )
    )
    return plan


def scores(out: Path, piece: str, side: str) -> list[Score]:
    """One side's scores in their order; what came after a divergence has none."""
    looks = TypeAdapter(list[dict[str, float | bool]]).validate_python(facts(out, piece)[side])
    return [
        Score(look["cpu_seconds"], look["score"], look["deviation"])
        for look in looks
        if "score" in look
    ]


def cut_cohort(data: Path, out: Path) -> Path:
    """The cohort of the task tb, cut once.

    Raises:
        CohortError: the films are not there.
    """
    cohort = out / COHORT
    if not cohort.exists():
        out.mkdir(parents=True, exist_ok=True)
        label_cohort(_films(data), cohort, COHORT_PROTOCOL, SPLIT, seed=0)
    return cohort


def films_digest(data: Path) -> str:
    """SHA-256 of the table of the films that the task tb is cut from.

    Raises:
        UsageError: it is not there.
    """
    table = _films(data)
    try:
        return hashlib.sha256(table.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(
            f"{table}: cannot be read ({error.strerror}); give the folder that holds tb_cxr by "
            "--data, or try everything out without it by --quick"
        ) from error


def _films(data: Path) -> Path:
    return data / "tb_cxr" / HOSPITAL / "labels.csv"


def _digest(course: Course, data: Path) -> str:
    return films_digest(data) if course.task == "tb" else real_images(data)[1]


def _cut(data: Path, folder: Path, watch: Watch) -> Facts:
    """The piece that cuts the films' patches."""
    cut_cohort(data, folder)
    return {}


def _race(
    options: Mapping[str, Sequence[str]], say: Callable[[str], None], folder: Path, watch: Watch
) -> Facts:
    """The piece that is both runs, theirs first; after a kill each goes on at its checkpoint.

    Raises:
        RunError: a run failed, or the two are of different machines.
    """
    found: Facts = {}
    for side, told in options.items():
        _wait_for(folder / side, say)
        found[side] = _run(told, folder / side)
        watch.keep()
    machines = {RunFolder(folder / side).plan().machine for side in options}
    if len(machines) > 1:
        raise RunError(
            f"{folder}: the two sides ran on different machines ({'; '.join(sorted(machines))}), "
            "whose CPU-seconds cannot be compared; remove the folder, and run again"
        )
    return found | {"machine": machines.pop()}


def _wait_for(run: Path, say: Callable[[str], None], pause: float = 1.0) -> None:
    """Let a process end that outlived the one that had started it: it is at this very run."""
    told = False
    while True:
        with claimed(run) as free:
            if free:
                return
        if not told:
            say(f"{run}: a process of an earlier attempt is still at it; waiting")
            told = True
        time.sleep(pause)


def _run(options: Sequence[str], run: Path) -> JsonValue:
    """What one run was worth, line by line; at its end already, it is not run any further."""
    module = [sys.executable, "-m", "benchmarks.engine.timed_run"]
    run_alone([*module, *options, "--out", str(run.resolve())])
    return [json.loads(line) for line in (run / SCORES).read_text().splitlines()]


def _options(
    course: Course, name: Name, seed: int, data: Path, cohort: Path, checkout: Path | None
) -> list[str]:
    ours = name == course.ours
    told = {
        "--task": course.task,
        "--rival": name,
        "--seed": seed,
        "--budget": course.ours_budget if ours else course.budget,
        "--batch": course.ours_batch if ours else course.batch,
        "--outer-steps": course.ours_steps,
        "--inner-steps": Settings().trajectory if ours else STEPS,
        "--score-every": course.ours_score_every if ours else course.score_every,
        "--data": data.resolve(),
    }
    if course.task == "tb":
        told["--cohort"] = cohort.resolve()
    if name == "ssnl" and checkout is not None:
        told["--ssnl"] = checkout
    return [str(word) for pair in told.items() for word in pair]


def _with_children() -> float:
    """CPU-seconds of this process and of those that it has waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
