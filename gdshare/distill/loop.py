"""Algorithm 1 of Li et al. 2020: training steps, scores, checkpoints, and the result.

From a labelled cohort to three images::

    import secrets
    from pathlib import Path

    from gdshare.cohort import open_cohort
    from gdshare.distill.loop import distill
    from gdshare.method import Settings

    cohort = open_cohort(Path("cohort"))  # made by gdshare label
    settings = Settings(network="convnet", outer_steps=40, seed=secrets.randbits(63))
    outcome = distill(cohort, Path("run"), settings)

    outcome.distilled.images  # float32 [3, 1, side, side]
    outcome.distilled.labels  # float32 [3, 3], rows sum to 1
    outcome.score.mean  # patch score on validation patients; chance is 1/3

A training step draws θ0 and a minibatch of real patches (``problem``), takes the inner steps of
Eq. 1, differentiates the outer loss of Eq. 2 (``unroll``), and moves images, labels and rates by
Eq. 3 (``update``).
"""

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import isfinite, nan
from pathlib import Path

import torch
from torch import Tensor

from gdshare.cohort import Cohort, cohort_digest
from gdshare.distill import head, run_folder
from gdshare.distill.head import Body, Head, OuterLoss, train_head
from gdshare.distill.journal import Journal, explain_faults, open_journal, require_tensorboard
from gdshare.distill.problem import Draw, Problem, prepare, run_record
from gdshare.distill.quasi_newton import lbfgs_step
from gdshare.distill.score import PatchScore, patch_score, score_record, tensors_of
from gdshare.distill.score_record import ScoreRecord, write_score
from gdshare.distill.state import (
    State,
    as_distilled,
    hard_labels,
    load_checkpoint,
    save_checkpoint,
)
from gdshare.distill.unroll import InnerData, MetaGradient, Unknowns, full, greedy, window
from gdshare.distill.update import adam_step
from gdshare.distill.workers import ALONE, Workers
from gdshare.distilled import Distilled
from gdshare.errors import RunError, UsageError
from gdshare.method import RunRecord, Settings
from gdshare.networks import Parameters
from gdshare.patch_tensors import balanced_accuracy
from gdshare.storage import write_bytes
from gdshare.theta0 import shared_weights

log = logging.getLogger(__name__)

SKIPS_IN_A_ROW = 20
"""Give up a run after this many useless gradients in a row."""


@dataclass(frozen=True)
class Tick:
    """Progress after a training step.

    Attributes:
        step, total: training steps done, and in all.
        loss: outer loss of this step (cross entropy: nats); NaN where it was not finite.
        rate: mean of the current α̃.
        best: best patch score so far in [0, 1]; None before the first.
        skipped: updates skipped so far, because the gradient was not finite or exploded.
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
        score: its patch score on validation patients, over θ0 that had no part in choosing it; a
            announced θ0 is the only one, and did.
        step: the training step that it is the state after.
        train_score: the patch score on the training patches that the head was fitted to: far above
            ``score`` means that they were learned by heart. None if all weights were trained.
    """

    distilled: Distilled
    score: PatchScore
    step: int
    train_score: float | None = None

    @property
    def at_chance(self) -> bool:
        """Whether the score is no better than chance, at the lower end of its interval."""
        return bool(self.score.lower <= 1.0 / self.distilled.labels.shape[1])


class StoppedError(RunError):
    """The run was asked to stop; it did so after a whole step, with a checkpoint."""


class LostError(RunError):
    """The run makes no progress: ``SKIPS_IN_A_ROW`` gradients in a row were useless."""


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
    reading: Callable[[int, int], None] = lambda done, total: None,
    theta0: bytes | None = None,
) -> Outcome:
    """Distil a cohort's training patches; the result and all records of the run go to ``out``.

    On a CPU, equal cohort, settings, torch release and thread count give equal bytes, interrupted
    or not, with any number of workers. A kill -9 costs at most ``settings.checkpoint_every`` steps.

    Args:
        cohort: labelled patches.
        out: a new folder, or with ``resume`` the folder of an interrupted run.
        settings: of the run; those of the main worker count.
        device: torch's name of where to compute.
        resume: go on from the last checkpoint.
        progress: called after each training step.
        clock: seconds since the epoch; only ``timings.jsonl`` records it.
        stopping: asked after each training step; True ends the run there, to be resumed.
        workers: the processes at this run, all called with equal arguments.
        tensorboard: write TensorBoard's event files to ``out`` too.
        reading: called with (patches done, patches in all) while a head's features are computed,
            before the first step.
        theta0: a shared model's weights, safetensors, where they are the announced θ0; a resumed
            run has its own.

    Raises:
        AnnouncementError: the weights are not those of ``settings``.
        CohortError: a class has no training or no validation window.
        StoppedError: ``stopping`` returned True; the checkpoint is written.
        LostError: too many useless gradients in a row.
        RunError: ``out`` has a run already, or another run than the one to be resumed; the disk is
            full, the device failed, or another process is at this run.
        UsageError: the network cannot take the cohort's patches, there is no such device, or
            TensorBoard is not installed.
    """
    if tensorboard:
        require_tensorboard()
    run_folder.require_public(out)
    with ExitStack() as stack:
        if workers.is_main:
            data = run_folder.read_theta0(out) if resume else theta0
            shared = shared_weights(data, settings, cohort.protocol.side)
            problem = prepare(cohort, settings, device, reading, shared)
            record = run_record(problem, cohort)
            with explain_faults(out):
                stack.enter_context(run_folder.open_run(out, record, resume, data))
            workers.barrier()
        else:
            # From the folder and not from the main worker: the seed is never sent.
            workers.barrier()
            settings = run_folder.read_record(out).settings
            data = run_folder.read_theta0(out)
            shared = shared_weights(data, settings, cohort.protocol.side)
            problem = prepare(cohort, settings, device, shared=shared)
        return take_steps(out, problem, progress, clock, stopping, workers, tensorboard)


def take_steps(
    out: Path,
    problem: Problem,
    progress: Callable[[Tick], None],
    clock: Callable[[], float],
    stopping: Callable[[], bool],
    workers: Workers = ALONE,
    tensorboard: bool = False,
) -> Outcome:
    """Take the training steps that are left in an open run folder, and write the result.

    Args and errors are those of ``distill``.
    """
    settings = problem.settings
    state = load_checkpoint(out, settings, problem.protocol.side)
    log.debug("%s: at step %d of %d", out, state.progress.step, settings.outer_steps)
    with (
        explain_faults(out),
        open_journal(out, state.progress, workers.is_main, tensorboard, clock) as journal,
    ):
        while state.progress.step < settings.outer_steps:
            state, tick = train_step(state, problem, journal, workers)
            stop = workers.any(stopping())
            if stop or _checkpoint_due(tick.step, settings):
                state = _checkpoint(out, state, journal, workers)
            progress(tick)
            if stop and tick.step < settings.outer_steps:
                raise StoppedError(f"stopped after step {tick.step}", out, "go on with --resume")
        return _finish(out, state, problem, journal, workers)


def train_step(
    state: State, problem: Problem, journal: Journal, workers: Workers
) -> tuple[State, Tick]:
    """One training step of Algorithm 1, its line of metrics, and a score when one is due."""
    settings, before = problem.settings, state.progress
    state, loss = _update(state, problem, workers)
    progress, step = state.progress, before.step + 1
    if progress.skipped_in_a_row >= SKIPS_IN_A_ROW:
        raise LostError(
            f"the last {progress.skipped_in_a_row} gradients up to step {step} were not finite or "
            "exploded",
            remedy="start again in a new folder with a smaller --inner-rate or --outer-rate",
        )
    state = replace(state, progress=progress.model_copy(update={"step": step}))
    rate = float(as_distilled(state.unknowns, settings).learning_rates.mean())
    line: dict[str, object] = {"step": step, "rate": rate}
    if isfinite(loss):  # JSON has no other numbers
        line["loss"] = loss
    if progress.skipped > before.skipped:
        line["skipped"] = progress.skipped - before.skipped
        log.debug("step %d: gradient skipped", step)
    journal.write(line)
    if step % settings.score_every == 0 or step == settings.outer_steps:
        state = _score(state, problem, journal, workers)
    best = state.progress.best_scores
    mean = PatchScore(best).mean if best else None
    finite = loss if isfinite(loss) else nan
    return state, Tick(step, settings.outer_steps, finite, rate, mean, progress.skipped)


def _update(state: State, problem: Problem, workers: Workers) -> tuple[State, float]:
    """The state after a training step's update (with greedy, updates), and its last outer loss."""
    settings = problem.settings
    if settings.outer == "lbfgs":
        return _quasi_newton_update(state, problem, workers)
    draws = {n: problem.draw(state.progress.step, n) for n in workers.share(settings.draws)}
    loss = nan
    for inner in range(settings.trajectory if settings.unroll == "greedy" else 1):
        unknowns = Unknowns(*(tensor.to(problem.device) for tensor in state.unknowns.tensors()))
        gradients: dict[int, MetaGradient] = {}
        for number, draw in draws.items():
            gradients[number], theta = differentiate(problem, draw, unknowns, inner)
            draws[number] = replace(draw, theta0=theta)
        loss, mean = _mean(gradients, state.unknowns, settings.draws, workers)
        state = adam_step(state, mean, settings.outer_rate_at(state.progress.step))
    return state, loss


def _quasi_newton_update(state: State, problem: Problem, workers: Workers) -> tuple[State, float]:
    """The state after a step of L-BFGS, and its outer loss. Every worker takes all of it: there is
    one draw, and nothing to divide.
    """
    draw = problem.draw(state.progress.step, 0)

    def evaluate(unknowns: Unknowns) -> MetaGradient:
        placed = Unknowns(*(tensor.to(problem.device) for tensor in unknowns.tensors()))
        found, _ = differentiate(problem, draw, placed, 0)
        return MetaGradient(found.loss, *(tensor.cpu() for tensor in found.tensors()))

    return lbfgs_step(state, evaluate)


def differentiate(
    problem: Problem, draw: Draw, unknowns: Unknowns, inner: int
) -> tuple[MetaGradient, Parameters | Head]:
    """The meta-gradient of a draw, and the weights to go on from (greedy's move, others' do not).

    Args:
        problem: network and settings.
        draw: θ0 and minibatch.
        unknowns: on the problem's device.
        inner: number of the inner step, from 0; only greedy reads it.
    """
    settings = problem.settings
    targets = hard_labels(settings, unknowns.classes).to(problem.device)
    theta0, sets = draw.theta0, settings.sets
    if isinstance(theta0, Head):
        outer = OuterLoss(settings.outer_loss, settings.penalty)
        on_head = (theta0, unknowns, targets, draw.real)
        if settings.unroll == "greedy":
            return head.greedy(*on_head, inner, sets, outer)
        length = settings.reach if settings.unroll == "window" else draw.stop
        return head.window(*on_head, draw.stop, length, sets, outer), theta0
    if problem.chain is None:
        raise ValueError("a problem without features needs a chain")
    on_all = (problem.chain, theta0, unknowns, targets, draw.real)
    if settings.unroll == "greedy":
        return greedy(*on_all, inner, sets)
    if settings.unroll == "window":
        return window(*on_all, draw.stop, settings.reach, sets), theta0
    return full(*on_all, settings.trajectory, sets), theta0


def _mean(
    gradients: dict[int, MetaGradient], unknowns: Unknowns, draws: int, workers: Workers
) -> tuple[float, tuple[Tensor, Tensor, Tensor]]:
    """Mean loss and gradient over all draws; each worker has computed its share."""
    sizes = [tensor.numel() for tensor in unknowns.tensors()]
    table = torch.zeros(draws, 1 + sum(sizes))  # [draws, loss + images + logits + rates]
    for number, gradient in gradients.items():
        flat = [tensor.flatten().cpu() for tensor in gradient.tensors()]
        table[number] = torch.cat([torch.tensor([gradient.loss]), *flat])
    mean = workers.all_reduce(table).mean(0)
    a, b, c = (
        part.view_as(tensor)
        for part, tensor in zip(torch.split(mean[1:], sizes), unknowns.tensors(), strict=True)
    )
    return float(mean[0]), (a, b, c)


def _score(state: State, problem: Problem, journal: Journal, workers: Workers) -> State:
    """Score the current unknowns on validation patients, and keep them if they are the best."""
    distilled = as_distilled(state.unknowns, problem.settings)
    score = _patch_score(distilled, problem, "score-theta0", workers)
    step = state.progress.step
    journal.write({"step": step, "score": score.mean, "deviation": score.deviation})
    log.debug("step %d: patch score %.3f", step, score.mean)
    best = state.progress.best_scores
    if best and score.mean <= PatchScore(best).mean:
        return state
    changes = {"best_step": step, "best_scores": score.values}
    return replace(state, best=state.unknowns, progress=state.progress.model_copy(update=changes))


def _patch_score(
    distilled: Distilled, problem: Problem, purpose: str, workers: Workers
) -> PatchScore:
    settings = problem.settings
    data = tensors_of(distilled, settings.sets, problem.device)
    if problem.features is not None:
        body, scoring, classes = problem.features.body, problem.features.scoring, problem.scoring[1]
        return PatchScore((_head_score(problem, body, data, scoring, classes),), len(classes))
    count = len(problem.inits())
    table = torch.zeros(count, dtype=torch.float64)  # [inits]
    for index in workers.share(count):
        inits = [problem.theta0(purpose, index)]
        score = patch_score(problem.module, inits, data, settings.trajectory, problem.scoring)
        table[index] = score.mean
    return PatchScore(tuple(workers.all_reduce(table).tolist()), len(problem.scoring[1]))


def _finish(
    out: Path, state: State, problem: Problem, journal: Journal, workers: Workers
) -> Outcome:
    """Write the result and its score."""
    outcome = conclude(state, problem, journal, workers, str(out))
    if workers.is_main:
        score = score_record(outcome.distilled, outcome.score)
        of_this = {"run_sha256": run_folder.record_digest(out)}
        write_score(out, score.model_copy(update=of_this))
        write_bytes(out / run_folder.RESULT, outcome.distilled.to_bytes())
    return outcome


def conclude(
    state: State, problem: Problem, journal: Journal, workers: Workers, where: str
) -> Outcome:
    """The result, scored on θ0 that did not choose it: the best of many flatters.

    With an announced θ0 there is no other, and the score stays the flattering one.

    Args:
        state: after the last training step.
        problem: of the run.
        journal: gets a line of metrics.
        workers: the processes at this run.
        where: named in an error.
    """
    distilled = as_distilled(state.best, problem.settings).require_sound(where)
    step = state.progress.best_step
    score = _final_score(distilled, problem, workers)
    conclusion = {"step": step, "final_score": score.mean, "final_deviation": score.deviation}
    train_score = None
    if problem.features is not None:
        features = problem.features
        data = tensors_of(distilled, problem.settings.sets, problem.device)
        train_score = _head_score(problem, features.body, data, features.train, features.classes)
        conclusion["train_score"] = train_score
    journal.conclude(conclusion)
    return Outcome(distilled, score, step, train_score)


def _head_score(
    problem: Problem, body: Body, data: InnerData, features: Tensor, classes: Tensor
) -> float:
    """Patch score of the head that distilled data train, on conditioned features [n, F]."""
    trained = train_head(Head.zeros(body), data, problem.settings.trajectory)
    return balanced_accuracy(trained.logits(features).argmax(1), classes)


def _final_score(distilled: Distilled, problem: Problem, workers: Workers) -> PatchScore:
    return _patch_score(distilled, problem, "final-theta0", workers)


def score_run(
    record: RunRecord,
    distilled: Distilled,
    cohort: Cohort,
    device: str = "cpu",
    theta0: bytes | None = None,
) -> ScoreRecord:
    """Measure again what ``distill`` measured of a run's result when it ended.

    Args:
        record: ``run.json``.
        distilled: the result.
        cohort: that the run was distilled from.
        device: torch's name of where to compute.
        theta0: the shared model's weights in the run's folder, if there are any.

    Raises:
        AnnouncementError: the weights are not those of the run.
        UsageError: the run was distilled from another cohort, or there is no such device.
    """
    if record.cohort_sha256 != cohort_digest(cohort):
        raise UsageError("this run was distilled from another cohort", cohort.path, "pass that one")
    shared = shared_weights(theta0, record.settings, cohort.protocol.side)
    problem = prepare(cohort, record.settings, device, shared=shared)
    return score_record(distilled, _final_score(distilled, problem, ALONE))


def _checkpoint_due(step: int, settings: Settings) -> bool:
    """At every score too: scores take longest to compute again."""
    return (
        step % settings.checkpoint_every == 0
        or step % settings.score_every == 0
        or step == settings.outer_steps
    )


def _checkpoint(out: Path, state: State, journal: Journal, workers: Workers) -> State:
    """Save the state, once the metrics up to here are on the disk."""
    progress = state.progress.model_copy(update={"metrics_bytes": journal.sync()})
    state = replace(state, progress=progress)
    if workers.is_main:
        save_checkpoint(out, state)
    return state
