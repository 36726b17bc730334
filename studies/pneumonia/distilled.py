"""The distilled side: two images, and networks trained on them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from benchmarks.engine.ours import Ours
from benchmarks.engine.problem import drawn_from
from benchmarks.engine.run_folder import Plan, RunFolder
from benchmarks.engine.score import trained
from benchmarks.engine.tasks import pneumonia, pneumonia_network
from benchmarks.engine.timed_run import Race
from benchmarks.pieces.claims import Facts, Watch
from gdshare.distilled import TENSORS, Distilled
from gdshare.errors import RunError
from studies.pneumonia.plan import PneumoniaPlan
from studies.quality.network import Network

RUN = "run"


def distil(plan: PneumoniaPlan, file: Path, seed: int, folder: Path, watch: Watch) -> Facts:
    """The piece that distils one image a class; after a kill it goes on at its last checkpoint.

    The race's clock counts training steps here, so what comes out does not depend on how fast the
    machine is, and the planned end of the outer rate's fall is the end.
    """
    task = pneumonia(file, plan.batch, seed)
    problem = replace(task.problem, outer_steps=plan.outer_steps, steps=plan.steps)
    task = replace(task, problem=problem)
    engine = Ours(task.problem, plan.engine)
    run = RunFolder(folder / RUN)
    race = Race(
        run,
        task,
        engine,
        plan.score_every,
        clock=lambda: float(engine.done),
        report=lambda line: watch.keep(),
    )
    identity = Plan(
        task="pneumonia",
        cohort=None,
        rival=plan.engine,
        seed=seed,
        batch=plan.batch,
        outer_steps=plan.outer_steps,
        inner_steps=plan.steps,
        score_every=plan.score_every,
    )
    race.go_on(identity, plan.outer_steps)
    best = max((line for line in run.scores() if "score" in line), key=lambda line: line["score"])
    return {"step": int(best["step"]), "score": best["score"], "deviation": best["deviation"]}


def read_state(folder: Path, step: int) -> Distilled:
    """The images that were scored at a training step.

    Args:
        folder: of the piece.
        step: of the training.

    Raises:
        RunError: they cannot be read, or are not sound.
    """
    path = folder / RUN / f"distilled-{step:06d}.safetensors"
    try:
        tensors = load(path.read_bytes())
        state = Distilled(**{name: np.asarray(tensors[name]) for name in TENSORS})
    except (OSError, SafetensorError, KeyError) as error:
        raise RunError(
            f"{path}: cannot be read ({error}); remove {folder}, and run again"
        ) from error
    return state.require_sound(str(path))


def networks(plan: PneumoniaPlan, state: Distilled, seed: int) -> list[Network]:
    """Networks trained on the images, from θ0 that neither distilling nor scoring has seen."""
    module = pneumonia_network()
    theta0 = drawn_from("convnet", module, seed, "test-theta0")
    ends = (trained(module, theta0(n), state, plan.steps) for n in range(plan.networks))
    return [Network(module, end) for end in ends]
