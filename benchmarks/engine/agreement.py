"""Do the rivals compute the same derivative? All from one θ0, images and minibatch.

In float64 they must agree to rounding. In float32 they do too, but for some draws: where a unit
lies so near ReLU's kink that rounding decides its side, two sound results differ by a percent or
two (at 64 px, seed 0 is such a draw; against float64 it is then one side that is off, by chance).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.engine.rivals import Name, stand_in
from benchmarks.engine.speed import MEGABYTE, SETTLING_STEPS, Start
from benchmarks.engine.worker import Job, Precision, Report, worker
from studies.tables import Table

PRECISIONS: tuple[Precision, ...] = ("float32", "float64")
SEED = 1


@dataclass(frozen=True)
class Agreement:
    """One rival compared with the reference.

    Attributes:
        images, rates: |difference| / |reference's|, Euclidean, of the derivative.
        loss: difference of the outer losses, nats.
        cpu_seconds: for the derivative, of the rival and of the reference.
        added_bytes: likewise.
    """

    rival: Name
    reference: Name
    precision: Precision
    images: float
    rates: float
    loss: float
    cpu_seconds: tuple[float, float]
    added_bytes: tuple[int, int]


def agreements(job: Job, checkout: Path | None, start: Start = worker) -> list[Agreement]:
    """Compute one meta-gradient by every rival, and compare each with Wang et al.'s.

    Args:
        job: the problem; its rival, seed and precision do not matter.
        checkout: of ssnl/dataset-distillation; without it ``recipe`` stands in.
        start: makes a rival ready for a job.
    """
    reference = stand_in(checkout)
    others: list[Name] = ["graph", "ours-recipe"]
    if reference == "ssnl":
        others.append("recipe")
    pairs = []
    for precision in PRECISIONS:
        reports: dict[Name, Report] = {}
        for name in (reference, *others):
            own = replace(job, rival=name, precision=precision, seed=SEED, checkout=checkout)
            with start(own) as do:
                # The second is the one that is timed.
                reports[name] = [do("gradient") for _ in range(SETTLING_STEPS)][-1]
        pairs += [_agreement(name, reference, precision, reports) for name in others]
    return pairs


def _agreement(
    name: Name, reference: Name, precision: Precision, reports: dict[Name, Report]
) -> Agreement:
    rival, theirs = reports[name], reports[reference]
    images, rates = (
        relative(*pair) for pair in zip(rival.gradient or (), theirs.gradient or (), strict=True)
    )
    return Agreement(
        name,
        reference,
        precision,
        images,
        rates,
        rival.loss - theirs.loss,
        (rival.cpu_seconds, theirs.cpu_seconds),
        (rival.added_bytes, theirs.added_bytes),
    )


def relative(actual: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    """Euclidean length of the difference over that of the expected."""
    difference = np.asarray(actual) - np.asarray(expected)
    return float(np.linalg.norm(difference) / np.linalg.norm(expected))


def table(pairs: Sequence[Agreement]) -> str:
    """The table for people."""
    rows = [
        [
            f"{pair.rival} : {pair.reference}",
            pair.precision,
            f"{pair.images:.1e}",
            f"{pair.rates:.1e}",
            " : ".join(f"{seconds:.2f}" for seconds in pair.cpu_seconds),
            " : ".join(f"{added / MEGABYTE:.0f}" for added in pair.added_bytes),
        ]
        for pair in pairs
    ]
    title = "Relative difference of the meta-gradient, by images and by rates; cost of each of two"
    return str(Table(title, ["", "type", "images", "rates", "CPU-s", "added MB"], rows))
