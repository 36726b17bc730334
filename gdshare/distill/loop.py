"""The training of Algorithm 1 (Li et al. 2020): minibatch, θ0, unroll, Adam; score, checkpoint."""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gdshare.cohort import Cohort, Patches
from gdshare.distill import folder
from gdshare.distill.score import CHANCE, PatchScore, patch_score
from gdshare.distill.settings import Counts, RunRecord, Settings
from gdshare.distill.state import (
    Progress,
    State,
    adam,
    as_distilled,
    hard_targets,
    load_checkpoint,
    save_checkpoint,
)
from gdshare.distill.synthetic import Distilled
from gdshare.distill.unroll import Unknowns, full
from gdshare.draws import (
    balanced_rows,
    missing_classes,
    numpy_generator,
    scoring_rows,
    torch_generator,
)
from gdshare.errors import CohortError, RunError
from gdshare.networks import INITIALISERS, Parameters, build, draw, require_device
from gdshare.storage import write_bytes
from gdshare.training import as_tensors


@dataclass(frozen=True)
class Tick:
    """What a progress bar needs to know after each training step.

    Attributes:
        step, total: training steps done, and in all.
        loss: outer loss of this step, nats.
        rate: mean current α̃.
        best: best patch score so far in [0, 1], or None before the first.
    """

    step: int
    total: int
    loss: float
    rate: float
    best: float | None


@dataclass(frozen=True)
class Outcome:
    """The end of a run.

    Attributes:
        distilled: the best scored state.
        score: its patch score on validation patients, over θ0 that had no part in choosing it.
        step: the training step it was taken at.
    """

    distilled: Distilled
    score: PatchScore
    step: int

    @property
    def at_chance(self) -> bool:
        """Whether the result cannot be told from guessing: see ``PatchScore.lower``."""
        return self.score.lower <= CHANCE


@dataclass(frozen=True)
class _Bench:
    """What stays the same through a run."""

    cohort: Cohort
    settings: Settings
    module: nn.Module
    train: Patches
    rows: list[npt.NDArray[np.int64]]
    scoring: tuple[Tensor, Tensor]
    inits: list[Parameters]
    device: torch.device

    def patches(self, source: Patches, rows: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Windows as the network sees them: float32 [n, 1, side, side] and int64 [n]."""
        x, y = as_tensors(source, rows, self.cohort)
        return x.to(self.device), y.to(self.device)

    def theta0(self, purpose: str, index: int) -> Parameters:
        """Fresh initial weights for one use."""
        generator = torch_generator(self.settings.seed, purpose, index)
        drawn = draw(self.settings.network, self.module, generator)
        return {name: weight.to(self.device) for name, weight in drawn.items()}


def distill(
    cohort: Cohort,
    out: Path,
    settings: Settings,
    device: str = "cpu",
    resume: bool = False,
    progress: Callable[[Tick], None] = lambda tick: None,
    clock: Callable[[], float] = time.time,
) -> Outcome:
    """Distil a cohort's training patches; the result and all traces of the run go to ``out``.

    On a CPU, equal cohort, settings, torch release and thread count give equal bytes, interrupted
    or not. Ctrl-C and kill -9 cost at most ``settings.checkpoint_every`` steps.

    Args:
        cohort: labelled patches.
        out: a new folder, or with ``resume`` the folder of an interrupted run.
        settings: every knob.
        device: torch's name of where to compute.
        resume: go on where the last checkpoint was.
        progress: called after each training step.
        clock: seconds since the epoch; only ``timings.jsonl`` shows it.

    Raises:
        CohortError: a class has no training or no validation window.
        RunError: ``out`` holds a run already, or another one than is to be resumed; or the loss
            stopped being finite.
        UsageError: the network cannot take the cohort's patches, or there is no such device.
    """
    bench = _prepare(cohort, settings, device)
    folder.open_run(out, _record(bench), resume)
    state = load_checkpoint(out, settings, cohort.protocol.side)
    folder.rewind(out / folder.METRICS, state.progress.metrics_bytes)
    began, first = clock(), state.progress.step
    try:
        with (out / folder.METRICS).open("ab") as metrics:
            while state.progress.step < settings.outer_steps:
                state, tick = _train_step(state, bench, metrics)
                if _due(tick.step, settings):
                    state = _checkpoint(out, state, metrics)
                progress(tick)
    finally:
        folder.append(
            out / folder.TIMINGS,
            {"began": began, "seconds": clock() - began, "from_step": first},
        )
    distilled = as_distilled(state.best, settings).require_sound(str(out))
    write_bytes(out / folder.RESULT, distilled.to_bytes())
    return Outcome(distilled, _final_score(distilled, bench), state.progress.best_step)


def _prepare(cohort: Cohort, settings: Settings, device: str) -> _Bench:
    train, val = cohort.patches("train"), cohort.patches("val")
    rows = train.rows_by_class()
    for split, missing in (
        ("training", missing_classes(rows)),
        ("validation", missing_classes(val.rows_by_class())),
    ):
        if missing:
            raise CohortError(
                f"{cohort.path}: no {split} window of class {', '.join(missing)}; add films, or "
                "change the patch size or the split"
            )
    module = build(settings.network, cohort.protocol.side)
    bench = _Bench(
        cohort,
        settings,
        module,
        train,
        rows,
        (torch.empty(0), torch.empty(0)),
        [],
        require_device(device),
    )
    generator = numpy_generator(settings.seed, "score-rows")
    return replace(
        bench,
        scoring=bench.patches(val, scoring_rows(val, settings.score_patches, generator)),
        inits=[bench.theta0("score-theta0", index) for index in range(settings.score_inits)],
    )


def _record(bench: _Bench) -> RunRecord:
    counts = bench.cohort.counts["train"]
    return RunRecord(
        settings=bench.settings,
        protocol=bench.cohort.protocol,
        initialiser=INITIALISERS[bench.settings.network],
        counts=Counts(
            patients_negative=counts.negative,
            patients_positive=counts.positive,
            patches_i=counts.i,
            patches_n=counts.n,
            patches_p=counts.p,
        ),
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        device=str(bench.device),
    )


def _train_step(state: State, bench: _Bench, metrics: BinaryIO) -> tuple[State, Tick]:
    """One training step of Algorithm 1, its line of metrics, and a score when one is due."""
    settings, step = bench.settings, state.progress.step
    generator = numpy_generator(settings.seed, "minibatch", step)
    loss, (a, b, c) = full(
        bench.module,
        bench.theta0("theta0", step),
        Unknowns(*(tensor.to(bench.device) for tensor in state.unknowns.tensors())),
        hard_targets(settings).to(bench.device),
        bench.patches(bench.train, balanced_rows(bench.rows, settings.batch, generator)),
        settings.trajectory,
    )
    if not (math.isfinite(loss) and all(bool(g.isfinite().all()) for g in (a, b, c))):
        raise RunError(
            f"the outer loss or its gradient at step {step + 1} is not finite; start again in a "
            "new folder with a smaller --inner-rate or --outer-rate"
        )
    state = adam(state, (a.cpu(), b.cpu(), c.cpu()), settings.outer_rate)
    done = state.progress.step
    rate = float(as_distilled(state.unknowns, settings).learning_rates.mean())
    metrics.write(folder.line({"step": done, "loss": loss, "rate": rate}))
    if done % settings.score_every == 0 or done == settings.outer_steps:
        state = _score(state, bench, metrics)
    best = state.progress.best_scores
    mean = PatchScore(best).mean if best else None
    return state, Tick(done, settings.outer_steps, loss, rate, mean)


def _score(state: State, bench: _Bench, metrics: BinaryIO) -> State:
    """Score the current unknowns on validation patients, and keep them if they are the best."""
    distilled = as_distilled(state.unknowns, bench.settings)
    score = patch_score(
        bench.module, bench.inits, distilled, bench.settings.trajectory, bench.scoring
    )
    step = state.progress.step
    metrics.write(folder.line({"step": step, "score": score.mean, "deviation": score.deviation}))
    best = state.progress.best_scores
    if best and score.mean <= PatchScore(best).mean:
        return state
    kept = Progress(step=step, best_step=step, best_scores=score.values)
    return replace(state, best=state.unknowns, progress=kept)


def _final_score(distilled: Distilled, bench: _Bench) -> PatchScore:
    """Score the result on θ0 that did not choose it: the best of many scores flatters."""
    settings = bench.settings
    inits = [bench.theta0("final-theta0", index) for index in range(settings.score_inits)]
    return patch_score(bench.module, inits, distilled, settings.trajectory, bench.scoring)


def _due(step: int, settings: Settings) -> bool:
    """Checkpoint at every score too: scores are the dearest thing to lose."""
    return (
        step % settings.checkpoint_every == 0
        or step % settings.score_every == 0
        or step == settings.outer_steps
    )


def _checkpoint(out: Path, state: State, metrics: BinaryIO) -> State:
    """Save the state, with the log's length on the disk first."""
    metrics.flush()
    os.fsync(metrics.fileno())
    position = state.progress.model_copy(update={"metrics_bytes": metrics.tell()})
    state = replace(state, progress=position)
    save_checkpoint(out, state)
    return state
