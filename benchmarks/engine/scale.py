"""How much faster a run gets with a second process: ``gdshare distill --workers 2`` against 1.

The run is the product's own, on synthetic films: ResNet18 at 32 px, two draws a training step. Its
seconds are by the wall clock, from ``timings.jsonl``; two lengths of run are subtracted, so that
starting up, checkpoints and the scores at the end, alike in both, drop out. Each process has one
thread; on a machine with fewer free cores than workers the figure says more about the machine.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from gdshare.child_environment import child_environment
from gdshare.distill.run_folder import seconds_of
from gdshare.errors import RunError

WORKERS = 2
SHORT, LONG = 3, 15
"""Training steps of the two lengths of run."""
FILMS = ["--negatives", "6", "--positives", "6", "--size", "256"]
PATCHES = ["--patch", "40", "--stride", "20", "--side", "32"]
RUN = ["--network", "resnet18", "--device", "cpu", "--seed", "1", "--draws", str(WORKERS)]
SCORES = ["--score-inits", "1", "--score-patches", "10"]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}


def measure() -> tuple[float, float]:
    """Seconds a training step, by the wall clock, of one process and of ``WORKERS``."""
    with tempfile.TemporaryDirectory() as folder:
        films, cohort = f"{folder}/films", f"{folder}/cohort"
        _gdshare("phantom", "--out", films, *FILMS)
        _gdshare("label", f"{films}/labels.csv", "--out", cohort, *PATCHES)
        return _seconds_a_step(folder, "1"), _seconds_a_step(folder, str(WORKERS))


def _seconds_a_step(folder: str, workers: str) -> float:
    seconds = []
    for steps in (SHORT, LONG):
        out = f"{folder}/run-{workers}-{steps}"
        lengths = (
            f"--{name}={steps}" for name in ("outer-steps", "score-every", "checkpoint-every")
        )
        words = [f"{folder}/cohort", "--out", out, "--workers", workers]
        _gdshare("distill", *words, *RUN, *SCORES, *lengths)
        seconds.append(seconds_of(Path(out)))
    return (seconds[1] - seconds[0]) / (LONG - SHORT)


def _gdshare(*words: str) -> None:
    command, env = [sys.executable, "-m", "gdshare", *words], child_environment(**ONE_THREAD)
    done = subprocess.run(command, env=env, capture_output=True, errors="replace", check=False)
    if done.returncode:
        what = f"ended with status {done.returncode}: {done.stderr[-2000:].strip()}"
        raise RunError(what, " ".join(command))


def line(alone: float, together: float) -> str:
    return (
        f"--workers {WORKERS} --draws {WORKERS}: {alone / together:.2f}x the training steps a "
        f"second of one process ({together:.2f} against {alone:.2f} s a step, wall clock)"
    )
