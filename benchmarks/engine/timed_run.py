"""One rival against the clock: its images are scored as it goes, and a killed run goes on.

FOLDER/checkpoint.pt holds where to go on, and every score so far. CPU-seconds are those of
this process (all its threads) inside training steps; scoring, reading and saving do not count.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from statistics import fmean, stdev

import torch
from torch import nn

from benchmarks.engine.tasks import Engine, QualityTask
from gdshare.distill.unroll import InnerData, trajectory_end
from gdshare.distilled import Distilled
from gdshare.errors import RunError
from gdshare.networks import Parameters
from gdshare.patch_tensors import patch_accuracy
from gdshare.storage import replacing

CHECKPOINT = "checkpoint.pt"
CHECKPOINT_S = 60.0

Line = dict[str, float | int | bool]
"""cpu_seconds, step, score and deviation over fresh θ0; or cpu_seconds, step and diverged."""


@dataclass
class Progress:
    """The part of a checkpoint that is not the engine's."""

    step: int = 0
    cpu_seconds: float = 0.0
    due: float = 0.0  # CPU-seconds of the next score
    lines: tuple[Line, ...] = ()
    ended: bool = False

    def add(self, **result: float) -> None:
        """Write down a score, or that the run has none."""
        line: Line = {"cpu_seconds": self.cpu_seconds, "step": self.step, **result}
        self.lines = (*self.lines, line)


@dataclass(frozen=True)
class TimedRun:
    """A run in its folder, over after ``budget`` CPU-seconds or ``steps`` training steps."""

    folder: Path
    task: QualityTask
    engine: Engine
    budget: float
    steps: int | None
    score_every: float
    clock: Callable[[], float] = time.process_time
    scored: Callable[[Sequence[Line], Distilled], None] = lambda lines, images: None

    def finish(
        self, keep: Callable[[], None], over: Callable[[], bool] = lambda: False
    ) -> tuple[Line, ...]:
        """Train from the last checkpoint to the end, or until ``keep`` raises.

        Scores are taken at the start, when due, and at the end. A loss or images that are not
        finite end the run for good. ``keep`` is called after each checkpoint; ``over`` tells
        whether to make one now. Returns a line a score.
        """
        progress = self._restore()
        saved = progress.cpu_seconds
        while not progress.ended:
            last = progress.cpu_seconds >= self.budget or progress.step == self.steps
            scoring = last or progress.cpu_seconds >= progress.due
            if not (self._score(progress) if scoring else self._step(progress)):
                progress.add(diverged=True)
                last = True
            progress.ended = last
            if scoring or last or over() or progress.cpu_seconds - saved >= CHECKPOINT_S:
                self._save(progress)
                saved = progress.cpu_seconds
                keep()
        return progress.lines

    def _step(self, progress: Progress) -> bool:
        """Take a training step; whether its loss is finite."""
        began = self.clock()
        loss = self.engine.outer_step()
        progress.cpu_seconds += self.clock() - began
        progress.step = self.engine.done
        return math.isfinite(loss)

    def _score(self, progress: Progress) -> bool:
        """Score the images as they are; whether they are sound."""
        distilled = self.engine.distilled()
        if distilled.problem():
            return False
        progress.due = self.score_every * (progress.cpu_seconds // self.score_every + 1)
        progress.add(**score(distilled, self.task))
        self.scored(progress.lines, distilled)
        return True

    def _restore(self) -> Progress:
        path = self.folder / CHECKPOINT
        if not path.exists():
            return Progress()
        try:
            checkpoint = torch.load(path, weights_only=True)
            self.engine.restore(checkpoint["engine"])
            return Progress(**checkpoint["progress"])
        except (OSError, RuntimeError, UnpicklingError, KeyError, TypeError) as error:
            raise RunError(f"damaged ({error})", path, "remove it, and run again") from error

    def _save(self, progress: Progress) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        checkpoint = {"progress": vars(progress), "engine": self.engine.state()}
        with replacing(self.folder / CHECKPOINT) as stream:
            torch.save(checkpoint, stream)


def score(distilled: Distilled, task: QualityTask) -> dict[str, float]:
    """Train from each of the task's θ0 and score each network on its real patches."""
    module, steps = task.problem.module, task.problem.steps
    networks = (trained(module, theta0, distilled, steps) for theta0 in task.inits)
    accuracies = [patch_accuracy(module, network, *task.scoring) for network in networks]
    return {"score": fmean(accuracies), "deviation": stdev(accuracies)}


def trained(module: nn.Module, theta0: Parameters, distilled: Distilled, steps: int) -> Parameters:
    """Train from θ0 on the distilled images, as a receiver would."""
    images, labels = torch.from_numpy(distilled.images), torch.from_numpy(distilled.labels)
    data = InnerData(images, labels, torch.from_numpy(distilled.learning_rates))
    return trajectory_end(module, theta0, data, steps)
