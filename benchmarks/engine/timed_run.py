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
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.engine.problem import Engine
from benchmarks.engine.tasks import QualityTask
from gdshare.distilled import Distilled
from gdshare.errors import RunError
from gdshare.networks import Parameters, forward
from gdshare.patch_tensors import patch_accuracy
from gdshare.storage import replacing

CHECKPOINT = "checkpoint.pt"
CHECKPOINT_S = 60.0

Line = dict[str, float | int | bool]
"""cpu_seconds, step, score and deviation over fresh θ0; or cpu_seconds, step and diverged."""


class Progress(BaseModel):
    """The part of a checkpoint that is not a tensor; ``due``: CPU-seconds of the next score."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int = 0
    cpu_seconds: float = 0.0
    due: float = 0.0
    lines: tuple[Line, ...] = ()
    ended: bool = False

    def after(self, **changes: object) -> "Progress":
        """With these values in place of its own."""
        return self.model_copy(update=changes)

    def with_line(self, result: Line, **changes: object) -> "Progress":
        """With a line more, and with these values in place of its own."""
        line: Line = {"cpu_seconds": self.cpu_seconds, "step": self.step, **result}
        return self.after(lines=(*self.lines, line), **changes)


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
            progress = self._scored(progress, last) if scoring else self._stepped(progress)
            if scoring or progress.ended or over() or progress.cpu_seconds - saved >= CHECKPOINT_S:
                self._save(progress)
                saved = progress.cpu_seconds
                keep()
        return progress.lines

    def _stepped(self, progress: Progress) -> Progress:
        """After one training step."""
        began = self.clock()
        loss = self.engine.outer_step()
        spent = progress.cpu_seconds + self.clock() - began
        progress = progress.after(step=self.engine.done, cpu_seconds=spent)
        finite = math.isfinite(loss)
        return progress if finite else progress.with_line({"diverged": True}, ended=True)

    def _scored(self, progress: Progress, last: bool) -> Progress:
        """With the score of the images as they are."""
        distilled = self.engine.distilled()
        if distilled.problem():
            return progress.with_line({"diverged": True}, ended=True)
        due = self.score_every * (math.floor(progress.cpu_seconds / self.score_every) + 1)
        progress = progress.with_line(score(distilled, self.task), due=due, ended=last)
        self.scored(progress.lines, distilled)
        return progress

    def _restore(self) -> Progress:
        path = self.folder / CHECKPOINT
        if not path.exists():
            return Progress()
        try:
            checkpoint = torch.load(path, weights_only=True)
            progress = Progress.model_validate_json(checkpoint["progress"])
            self.engine.restore(checkpoint["engine"])
        except (OSError, RuntimeError, UnpicklingError, KeyError, ValidationError) as error:
            raise RunError(f"damaged ({error})", path, "remove it, and run again") from error
        return progress

    def _save(self, progress: Progress) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        checkpoint = {"progress": progress.model_dump_json(), "engine": self.engine.state()}
        with replacing(self.folder / CHECKPOINT) as stream:
            torch.save(checkpoint, stream)


def score(distilled: Distilled, task: QualityTask) -> Line:
    """Train from each of the task's θ0 and score each network on its real patches."""
    module, steps = task.problem.module, task.problem.steps
    networks = (trained(module, theta0, distilled, steps) for theta0 in task.inits)
    accuracies = [patch_accuracy(module, network, *task.scoring) for network in networks]
    return {"score": fmean(accuracies), "deviation": stdev(accuracies)}


def trained(module: nn.Module, theta0: Parameters, distilled: Distilled, steps: int) -> Parameters:
    """Take ``steps`` plain gradient steps from θ0 on the distilled images, as a receiver would."""
    images, labels = torch.from_numpy(distilled.images), torch.from_numpy(distilled.labels)
    theta = theta0
    for rate in torch.from_numpy(distilled.learning_rates).expand(steps):
        leaves = {name: weight.detach().requires_grad_() for name, weight in theta.items()}
        loss: Tensor = functional.cross_entropy(forward(module, leaves, images), labels)
        slopes = torch.autograd.grad(loss, list(leaves.values()))
        theta = {
            name: weight.detach() - rate * slope
            for (name, weight), slope in zip(leaves.items(), slopes, strict=True)
        }
    return theta
