"""The training of Algorithm 1 (Li et al. 2020): draws, unroll, Adam; score, checkpoint."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import isfinite, nan
from pathlib import Path

import torch
from torch import Tensor

from gdshare.cohort import Cohort
from gdshare.distill import folder
from gdshare.distill.journal import Journal, faults_told, opened, require_tensorboard
from gdshare.distill.problem import Draw, Problem, prepare
from gdshare.distill.score import CHANCE, PatchScore, patch_score, tensors_of
from gdshare.distill.state import (
    State,
    as_distilled,
    hard_targets,
    load_checkpoint,
    save_checkpoint,
)
from gdshare.distill.unroll import MetaGradient, Unknowns, full, greedy, window
from gdshare.distill.update import moved
from gdshare.distill.workers import ALONE, Workers
from gdshare.distilled import Distilled
from gdshare.errors import RunError
from gdshare.method import Settings
from gdshare.networks import Parameters
from gdshare.storage import write_bytes

SKIPS_IN_A_ROW = 20
"""Useless derivatives one after another at which a run is lost."""


@dataclass(frozen=True)
class Tick:
    """What a progress bar needs to know after each training step.

    Attributes:
        step, total: training steps done, and in all.
        loss: outer loss of this step, nats.
        rate: mean current α̃.
        best: best patch score so far in [0, 1], or None before the first.
        skipped: steps so far whose derivative was not finite or exploded.
    """

    step: int
    total: int
    loss: float
    rate: float
    best: float | None
    skipped: int


@dataclass(frozen=True)
class Outcome:
    """The end of a run.

    Attributes:
        distilled: the best scored state.
        score: its patch score on validation patients, over θ0 that had no part in choosing it (or
            on the one there is, when it is fixed).
        step: the training step it was taken at.
    """

    distilled: Distilled
    score: PatchScore
    step: int

    @property
    def at_chance(self) -> bool:
        """Whether the result cannot be told from guessing: see ``PatchScore.lower``."""
        return self.score.lower <= CHANCE


class StoppedError(RunError):
    """The run was asked to stop, and did so after a whole step, with a checkpoint."""


class LostError(RunError):
    """The run cannot get anywhere: ``SKIPS_IN_A_ROW`` derivatives in a row were of no use."""


def distill(
    cohort: Cohort,
    out: Path,
    settings: Settings,
    device: str = "cpu",
    resume: bool = False,
    progress: Callable[[Tick], None] = lambda tick: None,
    clock: Callable[[], float] = time.time,
    stopping: Callable[[], bool] = lambda: False,
    workers: Workers = ALONE,
    tensorboard: bool = False,
) -> Outcome:
    """Distil a cohort's training patches; the result and all traces of the run go to ``out``.

    On a CPU, equal cohort, settings, torch release and thread count give equal bytes, interrupted
    or not, whatever the crew. A kill -9 costs at most ``settings.checkpoint_every`` steps.

    Args:
        cohort: labelled patches.
        out: a new folder, or with ``resume`` the folder of an interrupted run.
        settings: every knob; of a crew, only the first process's count.
        device: torch's name of where to compute.
        resume: go on where the last checkpoint was.
        progress: called after each training step.
        clock: seconds since the epoch; only ``timings.jsonl`` shows it.
        stopping: asked after each training step; True ends the run there, to be resumed.
        workers: the processes at this run, all called with equal arguments.
        tensorboard: write TensorBoard's event files to ``out`` too.

    Raises:
        CohortError: a class has no training or no validation window.
        StoppedError: ``stopping`` said so; all is saved.
        LostError: too many bad steps.
        RunError: ``out`` holds a run already, or another one than is to be resumed; the disk is
            full, the device is lost, or another process is at this run.
        UsageError: the network cannot take the cohort's patches, there is no such device, or
            TensorBoard is not installed.
    """
    if tensorboard:
        require_tensorboard()
    with ExitStack() as held:
        if workers.is_main:
            problem = prepare(cohort, settings, device)
            with faults_told(out):
                held.enter_context(folder.open_run(out, problem.record(), resume))
            workers.wait()
        else:
            # From the folder and not from the first process: the seed is sent to nobody.
            workers.wait()
            settings = folder.read_record(out).settings
            problem = prepare(cohort, settings, device)
        return _run(out, problem, progress, clock, stopping, workers, tensorboard)


def _run(
    out: Path,
    problem: Problem,
    progress: Callable[[Tick], None],
    clock: Callable[[], float],
    stopping: Callable[[], bool],
    workers: Workers,
    tensorboard: bool,
) -> Outcome:
    """All training steps that are left, and the result."""
    settings = problem.settings
    state = load_checkpoint(out, settings, problem.cohort.protocol.side)
    with (
        faults_told(out),
        opened(out, state.progress, workers.is_main, tensorboard, clock) as journal,
    ):
        while state.progress.step < settings.outer_steps:
            state, tick = _train_step(state, problem, journal, workers)
            stop = workers.any(stopping())
            if stop or _due(tick.step, settings):
                state = _checkpoint(out, state, journal, workers)
            progress(tick)
            if stop and tick.step < settings.outer_steps:
                raise StoppedError(f"{out}: stopped after step {tick.step}; go on with --resume")
        return _finish(out, state, problem, workers)


def _train_step(
    state: State, problem: Problem, journal: Journal, workers: Workers
) -> tuple[State, Tick]:
    """One training step of Algorithm 1, its line of metrics, and a score when one is due."""
    settings, before = problem.settings, state.progress
    state, loss = _moved(state, problem, workers)
    progress = state.progress
    if progress.skipped_in_a_row >= SKIPS_IN_A_ROW:
        raise LostError(
            f"the last {progress.skipped_in_a_row} derivatives up to step "
            f"{before.step + 1} were not finite or exploded",
            remedy="start again in a new folder with a smaller --inner-rate or --outer-rate",
        )
    done = before.step + 1
    state = replace(state, progress=progress.model_copy(update={"step": done}))
    rate = float(as_distilled(state.unknowns, settings).learning_rates.mean())
    told: dict[str, object] = {"step": done, "loss": loss, "rate": rate}
    if progress.skipped > before.skipped:
        told["skipped"] = progress.skipped - before.skipped
    journal.write({key: value for key, value in told.items() if value is not None})
    if done % settings.score_every == 0 or done == settings.outer_steps:
        state = _score(state, problem, journal, workers)
    best = state.progress.best_scores
    mean = PatchScore(best).mean if best else None
    shown = nan if loss is None else loss
    return state, Tick(done, settings.outer_steps, shown, rate, mean, progress.skipped)


def _moved(state: State, problem: Problem, workers: Workers) -> tuple[State, float | None]:
    """The state after one training step's update, or updates, and its last outer loss.

    The loss is None where it is not finite, since JSON knows no such number.
    """
    settings = problem.settings
    own = {n: problem.draw(state.progress.step, n) for n in workers.share(settings.draws)}
    loss = nan
    for inner in range(settings.trajectory if settings.unroll == "greedy" else 1):
        unknowns = Unknowns(*(tensor.to(problem.device) for tensor in state.unknowns.tensors()))
        found: dict[int, MetaGradient] = {}
        for number, draw in own.items():
            found[number], theta = differentiate(problem, draw, unknowns, inner)
            own[number] = replace(draw, theta0=theta)
        loss, gradients = _mean(found, state.unknowns, settings.draws, workers)
        state = moved(state, gradients, settings.outer_rate_at(state.progress.step))
    return state, loss if isfinite(loss) else None


def differentiate(
    problem: Problem, draw: Draw, unknowns: Unknowns, inner: int
) -> tuple[MetaGradient, Parameters]:
    """The meta-gradient of one draw, and with greedy the weights its next inner step begins at."""
    settings = problem.settings
    given = (
        problem.chain,
        draw.theta0,
        unknowns,
        hard_targets(settings).to(problem.device),
        draw.real,
    )
    if settings.unroll == "greedy":
        return greedy(*given, inner, settings.sets)
    if settings.unroll == "window":
        return window(*given, draw.stop, settings.reach, settings.sets), draw.theta0
    return full(*given, settings.trajectory, settings.sets), draw.theta0


def _mean(
    found: dict[int, MetaGradient], like: Unknowns, draws: int, workers: Workers
) -> tuple[float, tuple[Tensor, Tensor, Tensor]]:
    """The mean over all draws, of which the crew's members each found some."""
    sizes = [tensor.numel() for tensor in like.tensors()]
    table = torch.zeros(draws, 1 + sum(sizes))
    for number, one in found.items():
        flat = [tensor.flatten().cpu() for tensor in one.tensors()]
        table[number] = torch.cat([torch.tensor([one.loss]), *flat])
    mean = workers.gathered(table).mean(0)
    a, b, c = (
        part.view_as(tensor)
        for part, tensor in zip(torch.split(mean[1:], sizes), like.tensors(), strict=True)
    )
    return float(mean[0]), (a, b, c)


def _score(state: State, problem: Problem, journal: Journal, workers: Workers) -> State:
    """Score the current unknowns on validation patients, and keep them if they are the best."""
    score = _scored(
        as_distilled(state.unknowns, problem.settings), problem, "score-theta0", workers
    )
    step = state.progress.step
    journal.write({"step": step, "score": score.mean, "deviation": score.deviation})
    best = state.progress.best_scores
    if best and score.mean <= PatchScore(best).mean:
        return state
    kept = {"best_step": step, "best_scores": score.values}
    return replace(state, best=state.unknowns, progress=state.progress.model_copy(update=kept))


def _scored(distilled: Distilled, problem: Problem, purpose: str, workers: Workers) -> PatchScore:
    settings = problem.settings
    data = tensors_of(distilled, settings.sets, problem.device)
    count = len(problem.inits())
    table = torch.zeros(count, dtype=torch.float64)
    for index in workers.share(count):
        inits = [problem.theta0(purpose, index)]
        one = patch_score(problem.module, inits, data, settings.trajectory, problem.scoring)
        table[index] = one.mean
    return PatchScore(tuple(workers.gathered(table).tolist()), len(problem.scoring[1]))


def _finish(out: Path, state: State, problem: Problem, workers: Workers) -> Outcome:
    """Write the result, and score it on θ0 that did not choose it: the best of many flatters.

    With a fixed θ0 there is no other, and the score stays the flattering one.
    """
    distilled = as_distilled(state.best, problem.settings).require_sound(str(out))
    if workers.is_main:
        write_bytes(out / folder.RESULT, distilled.to_bytes())
    score = _scored(distilled, problem, "final-theta0", workers)
    return Outcome(distilled, score, state.progress.best_step)


def _due(step: int, settings: Settings) -> bool:
    """Checkpoint at every score too: scores are the dearest thing to lose."""
    return (
        step % settings.checkpoint_every == 0
        or step % settings.score_every == 0
        or step == settings.outer_steps
    )


def _checkpoint(out: Path, state: State, journal: Journal, workers: Workers) -> State:
    """Save the state, with the log's length on the disk first."""
    position = state.progress.model_copy(update={"metrics_bytes": journal.on_disk()})
    state = replace(state, progress=position)
    if workers.is_main:
        save_checkpoint(out, state)
    return state
