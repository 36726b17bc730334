"""How good the distilled images are after so many CPU-seconds, for one rival on one task.

    python -m benchmarks.engine.timed_run --task pneumonia --rival recipe --seed 0 \\
        --budget 3600 --batch 1024 --out DIR

DIR/scores.jsonl gets a line {cpu_seconds, step, score, deviation} a score: class-balanced accuracy
on validation patches, mean and deviation over 10 fresh θ0 that distilling never sees. CPU-seconds
are those of this process (all its threads) inside training steps; scoring, reading and saving do
not count. Scored images are kept, to be scored otherwise later. The same command goes on after a
kill, at the last checkpoint; with a larger budget it goes on from the end.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from benchmarks.engine.problem import Engine
from benchmarks.engine.recipe import RECIPE
from benchmarks.engine.rivals import checkout_from_environment, make
from benchmarks.engine.run_folder import Plan, Progress, RunFolder
from benchmarks.engine.score import score
from benchmarks.engine.tasks import STEPS, QualityTask, pneumonia, tuberculosis
from benchmarks.pieces.claims import claimed
from gdshare.errors import GdshareError, RunError, UsageError

CHECKPOINT_SECONDS = 60.0


@dataclass
class Race:
    """One rival against the clock.

    Attributes:
        engine: at work on ``task.problem``.
        score_every: CPU-seconds between scores.
        clock: CPU-seconds of this process.
        report: called with each line that is written.
    """

    folder: RunFolder
    task: QualityTask
    engine: Engine
    score_every: float
    clock: Callable[[], float] = time.process_time
    report: Callable[[dict[str, object]], None] = lambda line: None
    progress: Progress = field(default_factory=Progress)

    def go_on(self, plan: Plan, budget: float) -> None:
        """Train from where the folder's run stopped until it is over.

        That is when the budget is spent, when it diverged, or, for ours, when the training steps
        that its rate falls over are done.
        """
        self.progress, tensors = self.folder.open(plan)
        if tensors:
            self.engine.restore(tensors, self.progress.step)
        sound, saved = not self._gave_up(), self.progress.cpu_seconds
        while sound:
            spent = self.progress.cpu_seconds
            over = spent >= budget or self._planned_out(plan)
            if spent >= self.progress.due or (over and not self._scored()):
                sound = self._score()
            if over:
                break
            if spent - saved >= CHECKPOINT_SECONDS:
                self._save()
                saved = spent
            sound = sound and self._step()
        self._save()

    def _planned_out(self, plan: Plan) -> bool:
        return plan.rival.startswith("ours") and self.progress.step >= plan.outer_steps

    def _step(self) -> bool:
        """One training step; whether its loss is finite."""
        began = self.clock()
        loss = self.engine.outer_step()
        spent = self.progress.cpu_seconds + self.clock() - began
        self._move(step=self.engine.done, cpu_seconds=spent)
        return math.isfinite(loss) or self._diverged()

    def _score(self) -> bool:
        """Score the images as they are; whether they are sound."""
        spent, step = self.progress.cpu_seconds, self.progress.step
        distilled, problem = self.engine.distilled(), self.task.problem
        if distilled.problem():
            return self._diverged()
        found = score(problem.module, self.task.inits, distilled, problem.steps, self.task.scoring)
        self.folder.keep(step, distilled.to_bytes())
        self._write({"score": found.mean, "deviation": found.deviation})
        self._move(due=self.score_every * (math.floor(spent / self.score_every) + 1))
        self._save()
        return True

    def _scored(self) -> bool:
        lines = self.folder.scores()
        return bool(lines) and lines[-1]["step"] == self.progress.step

    def _gave_up(self) -> bool:
        lines = self.folder.scores()
        return bool(lines) and "diverged" in lines[-1]

    def _diverged(self) -> bool:
        self._write({"diverged": True})
        return False

    def _write(self, found: dict[str, object]) -> None:
        at = {"cpu_seconds": self.progress.cpu_seconds, "step": self.progress.step}
        self.folder.append(at | found)
        self.report(at | found)

    def _move(self, **changes: float) -> None:
        self.progress = self.progress.model_copy(update=changes)

    def _save(self) -> None:
        self.folder.save(self.progress, self.engine.tensors())


def read_task(name: str, data: Path, cohort: Path | None, batch: int, seed: int) -> QualityTask:
    """Load a task's patches.

    Args:
        name: "pneumonia" or "tb".
        data: folder that holds medmnist/.
        cohort: of ``tb``; cut by ``gdshare label`` or by ``python -m examples.tb_cxr``.
        batch: K.
        seed: decides every draw.

    Raises:
        UsageError: ``tb`` without a cohort.
        CohortError: the data is not there.
    """
    if name == "pneumonia":
        return pneumonia(data / "medmnist" / "pneumoniamnist.npz", batch, seed)
    if cohort is None:
        raise UsageError(
            "task tb: needs a labelled cohort; give one by --cohort, as python -m examples.tb_cxr "
            "leaves it in OUT/sites/shenzhen-a/cohort"
        )
    return tuberculosis(cohort, batch, seed)


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engine.timed_run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--task", choices=("pneumonia", "tb"), required=True)
    parser.add_argument("--rival", required=True)
    parser.add_argument("--budget", type=float, required=True, help="CPU-seconds of training")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--seed", type=int, default=0, help="decides every draw (default 0)")
    parser.add_argument("--batch", type=int, default=RECIPE.batch, help="K (default 1024)")
    parser.add_argument(
        "--outer-steps",
        type=int,
        default=1000,
        help="training steps that ours plans (default 1000)",
    )
    parser.add_argument(
        "--inner-steps", type=int, default=STEPS, help=f"E · I (default {STEPS}, the recipe's)"
    )
    parser.add_argument("--score-every", type=float, default=60.0, help="CPU-seconds (default 60)")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="real data")
    parser.add_argument("--cohort", type=Path, help="labelled cohort of the task tb")
    parser.add_argument("--ssnl", type=Path, help="checkout of ssnl/dataset-distillation")
    return parser


def main() -> None:
    """Read the options and race."""
    chosen = options().parse_args()
    torch.set_num_threads(1)
    try:
        task = read_task(chosen.task, chosen.data, chosen.cohort, chosen.batch, chosen.seed)
        planned = {"outer_steps": chosen.outer_steps, "steps": chosen.inner_steps}
        task = replace(task, problem=replace(task.problem, **planned))
        checkout = chosen.ssnl or checkout_from_environment()
        engine = make(chosen.rival, task.problem, checkout)
        race = Race(
            RunFolder(chosen.out),
            task,
            engine,
            chosen.score_every,
            report=lambda line: print(line, flush=True),
        )
        plan = Plan(
            task=chosen.task,
            cohort=chosen.cohort and chosen.cohort.resolve(),
            rival=chosen.rival,
            seed=chosen.seed,
            batch=chosen.batch,
            outer_steps=chosen.outer_steps,
            inner_steps=chosen.inner_steps,
            score_every=chosen.score_every,
        )
        with claimed(chosen.out) as mine:
            if not mine:
                raise RunError(f"{chosen.out}: another process is at this run; wait, or stop it")
            race.go_on(plan, chosen.budget)
    except GdshareError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
