"""Do the rivals compute the same derivative? All from one θ0, images and minibatch.

In float64 they must agree to rounding. In float32 they do too, but for some draws: where a unit
lies so near ReLU's kink that rounding decides its side, two sound results differ by a percent or
two (at 64 px, seed 0 is such a draw; against float64 it is then one side that is off, by chance).
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.engine.rivals import Name, stand_in
from benchmarks.engine.speed import MEGABYTE, SETTLING_STEPS, Start
from benchmarks.engine.worker import Job, Precision, Report, worker
from studies.tables import Row, Table, Value

PRECISIONS: tuple[Precision, ...] = ("float32", "float64")
SEED = 1


def agreement(job: Job, checkout: Path | None, start: Start = worker) -> Table:
    """Compute the job's meta-gradient by every rival, and compare each with Wang et al.'s."""
    reference = stand_in(checkout)
    others: list[Name] = ["graph", "ours-recipe"]
    if reference == "ssnl":
        others.append("recipe")
    rows: list[Row] = []
    for precision in PRECISIONS:
        reports: dict[Name, Report] = {}
        for name in (reference, *others):
            own = replace(job, rival=name, precision=precision, seed=SEED, checkout=checkout)
            with start(own) as do:
                # The second is the one that is timed.
                reports[name] = [do("gradient") for _ in range(SETTLING_STEPS)][-1]
        for name in others:
            row = _row(reports[name], reports[reference])
            rows.append([f"{name} : {reference}", precision, *row])
    title = "Relative difference of the meta-gradient, by images and by rates; cost of each of two"
    return Table(title, ["", "type", "images", "rates", "CPU-s", "added MB"], rows)


def _row(rival: Report, theirs: Report) -> list[Value]:
    seconds = [rival.cpu_seconds, theirs.cpu_seconds]
    memory = [rival.added_bytes / MEGABYTE, theirs.added_bytes / MEGABYTE]
    pairs = zip(rival.gradient, theirs.gradient, strict=True)
    return [
        *(Value(f"{difference:.1e}", difference) for difference in (relative(*p) for p in pairs)),
        Value(" : ".join(f"{value:.2f}" for value in seconds), [*seconds]),
        Value(" : ".join(f"{value:.0f}" for value in memory), [*memory]),
    ]


def relative(actual: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    """Euclidean length of the difference over that of the expected."""
    difference = np.asarray(actual) - np.asarray(expected)
    return float(np.linalg.norm(difference) / np.linalg.norm(expected))
