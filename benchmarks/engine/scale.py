"""How much faster a run gets with a second process: ``gdshare distill --workers 2`` against 1.

The run is the product's own, on synthetic films: ResNet18 at 32 px, two draws a training step. Its
seconds are by the wall clock, from ``timings.jsonl``; two lengths of run are subtracted, so that
starting up, checkpoints and the scores at the end, alike in both, drop out. Each process has one
thread; on a machine with fewer free cores than workers the figure says more about the machine.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.engine.team import run_alone
from gdshare.distill.run_folder import seconds_of


@dataclass(frozen=True)
class ScalePlan:
    """How much work: two lengths of run, on so many films of each diagnosis.

    Attributes:
        short, long: training steps of the two runs.
        films: of each diagnosis.
        film, patch, stride, side: px.
        network: to distil for.
    """

    short: int = 3
    long: int = 15
    films: int = 6
    film: int = 256
    patch: int = 40
    stride: int = 20
    side: int = 32
    network: str = "resnet18"


FULL = ScalePlan()
WORKERS = 2


@dataclass(frozen=True)
class Scale:
    """Seconds a training step, by the wall clock, of one process and of ``WORKERS``."""

    alone: float
    together: float

    @property
    def speedup(self) -> float:
        """Training steps in the same time, over those of one process."""
        return self.alone / self.together


def measure(plan: ScalePlan = FULL) -> Scale:
    """Time one process and several on the same run.

    Raises:
        RunError: a command failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        films = str(plan.films)
        sizes = ["--negatives", films, "--positives", films, "--size", str(plan.film)]
        _gdshare("phantom", "--out", str(root / "films"), *sizes)
        grid = ["--patch", str(plan.patch), "--stride", str(plan.stride), "--side", str(plan.side)]
        cohort = root / "cohort"
        _gdshare("label", str(root / "films" / "labels.csv"), "--out", str(cohort), *grid)
        return Scale(_step(plan, root, 1), _step(plan, root, WORKERS))


def table(scale: Scale) -> str:
    """One line for people."""
    return (
        f"--workers {WORKERS} --draws {WORKERS}: {scale.speedup:.2f}x the training steps a second "
        f"of one process ({scale.together:.2f} against {scale.alone:.2f} s a step, wall clock)"
    )


def _step(plan: ScalePlan, root: Path, workers: int) -> float:
    seconds = []
    for steps in (plan.short, plan.long):
        out = root / f"run-{workers}-{steps}"
        words = ["distill", str(root / "cohort"), "--out", str(out), "--network", plan.network]
        words += ["--device", "cpu", "--seed", "1", "--score-inits", "1", "--score-patches", "10"]
        words += ["--outer-steps", str(steps), "--score-every", str(steps)]
        words += ["--checkpoint-every", str(steps)]
        _gdshare(*words, "--draws", str(WORKERS), "--workers", str(workers))
        seconds.append(seconds_of(out))
    return (seconds[1] - seconds[0]) / (plan.long - plan.short)


def _gdshare(*words: str) -> None:
    run_alone([sys.executable, "-m", "gdshare", *words])
