"""One rival against the clock: its images are scored as it goes, and a killed run goes on.

::

    FOLDER/
      checkpoint.safetensors            where to go on, and every score so far
      distilled-000120.safetensors      the images scored at training step 120

CPU-seconds are those of this process (all its threads) inside training steps; scoring, reading and
saving do not count.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from benchmarks.engine.problem import Engine
from benchmarks.engine.score import score
from benchmarks.engine.tasks import QualityTask
from gdshare.errors import RunError
from gdshare.storage import write_bytes

CHECKPOINT = "checkpoint.safetensors"
CHECKPOINT_S = 60.0

Line = dict[str, float | int | bool]
"""cpu_seconds, step, score and deviation over fresh θ0; or cpu_seconds, step and diverged."""


class Progress(BaseModel):
    """The part of a checkpoint that is not a tensor.

    Attributes:
        step: training steps done.
        cpu_seconds: spent in them.
        due: CPU-seconds at which the next score is due.
        lines: of the scores so far.
        ended: whether the run is over.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int = 0
    cpu_seconds: float = 0.0
    due: float = 0.0
    lines: tuple[Line, ...] = ()
    ended: bool = False


@dataclass(frozen=True)
class TimedRun:
    """A run in its folder.

    Attributes:
        engine: at work on ``task.problem``.
        budget: CPU-seconds after which the run ends.
        steps: training steps after which it ends; None: no number of them.
        score_every: CPU-seconds between scores.
        clock: CPU-seconds of this process.
    """

    folder: Path
    task: QualityTask
    engine: Engine
    budget: float
    steps: int | None
    score_every: float
    clock: Callable[[], float] = time.process_time

    def finish(
        self, keep: Callable[[], None], over: Callable[[], bool] = lambda: False
    ) -> tuple[Line, ...]:
        """Train from the last checkpoint to the end, or until ``keep`` raises.

        Scores are taken at the start, when due, and at the end. A loss or images that are not
        finite end the run for good.

        Args:
            keep: called after each checkpoint.
            over: whether to make a checkpoint now.

        Returns:
            a line a score.
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
        after = progress.model_copy(update={"step": self.engine.done, "cpu_seconds": spent})
        return after if math.isfinite(loss) else _diverged(after)

    def _scored(self, progress: Progress, last: bool) -> Progress:
        """With the score of the images as they are."""
        distilled, problem = self.engine.distilled(), self.task.problem
        if distilled.problem():
            return _diverged(progress)
        result = score(problem.module, self.task.inits, distilled, problem.steps, self.task.scoring)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_bytes(scored_images(self.folder, progress.step), distilled.to_bytes())
        due = self.score_every * (math.floor(progress.cpu_seconds / self.score_every) + 1)
        scored = _with_line(progress, {"score": result.mean, "deviation": result.deviation})
        return scored.model_copy(update={"due": due, "ended": last})

    def _restore(self) -> Progress:
        path = self.folder / CHECKPOINT
        if not path.exists():
            return Progress()
        try:
            with safe_open(path, framework="pt") as handle:
                progress = Progress.model_validate_json(handle.metadata()["progress"])
            tensors: Mapping[str, Tensor] = load(path.read_bytes())
        except (OSError, SafetensorError, KeyError, ValidationError) as error:
            raise RunError(f"{path}: damaged ({error}); remove it, and run again") from error
        self.engine.restore(tensors, progress.step)
        return progress

    def _save(self, progress: Progress) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        metadata = {"progress": progress.model_dump_json()}
        write_bytes(self.folder / CHECKPOINT, save(self.engine.tensors(), metadata))


def scored_images(folder: Path, step: int) -> Path:
    """Where the images scored at a training step are kept."""
    return folder / f"distilled-{step:06d}.safetensors"


def _diverged(progress: Progress) -> Progress:
    return _with_line(progress, {"diverged": True}).model_copy(update={"ended": True})


def _with_line(progress: Progress, result: Line) -> Progress:
    at: Line = {"cpu_seconds": progress.cpu_seconds, "step": progress.step}
    return progress.model_copy(update={"lines": (*progress.lines, at | result)})
