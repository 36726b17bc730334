"""The distilled side: two images, and networks trained on them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from benchmarks.engine.ours import Ours
from benchmarks.engine.problem import drawn_from
from benchmarks.engine.score import trained
from benchmarks.engine.tasks import pneumonia, pneumonia_network
from benchmarks.engine.timed_run import TimedRun, scored_images
from benchmarks.pieces.claims import Facts, Watch
from gdshare.distilled import TENSORS, Distilled
from gdshare.errors import RunError
from studies.pneumonia.plan import PneumoniaPlan
from studies.quality.network import Network

RUN = "run"


def distil(plan: PneumoniaPlan, file: Path, seed: int, folder: Path, watch: Watch) -> Facts:
    """The piece that distils one image a class; after a kill it goes on at its last checkpoint.

    The run's clock counts training steps here, so what comes out does not depend on how fast the
    machine is, and the planned end of the outer rate's fall is the end.
    """
    task = pneumonia(file, plan.batch, plan.steps, seed)
    task = replace(task, problem=replace(task.problem, outer_steps=plan.outer_steps))
    engine = Ours(task.problem, plan.engine)
    timed = TimedRun(
        folder / RUN,
        task,
        engine,
        budget=plan.outer_steps,
        steps=plan.outer_steps,
        score_every=plan.score_every,
        clock=lambda: float(engine.done),
    )
    lines = timed.finish(watch.keep)
    best = max((line for line in lines if "score" in line), key=lambda line: line["score"])
    return {"step": int(best["step"]), "score": best["score"], "deviation": best["deviation"]}


def read_state(folder: Path, step: int) -> Distilled:
    """The images that were scored at a training step.

    Args:
        folder: of the piece.
        step: of the training.

    Raises:
        RunError: they cannot be read, or are not sound.
    """
    path = scored_images(folder / RUN, step)
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
