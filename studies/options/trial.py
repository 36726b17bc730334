"""One variant on one seed: what a training step costs, a distillation, and what it taught."""

import time
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from pydantic import BaseModel, ConfigDict
from torch.nn import functional

from benchmarks.pieces.claims import Facts, Watch
from gdshare.cohort import Cohort, open_cohort
from gdshare.distill.loop import LostError, Outcome, StoppedError, Tick, distill
from gdshare.distill.score import tensors_of
from gdshare.distill.unroll import trajectory_end
from gdshare.method import Settings
from gdshare.networks import Parameters, build, draw, forward
from gdshare.seeding import numpy_generator, scoring_rows, torch_generator
from gdshare.storage import write_json
from gdshare.training import as_tensors, patch_accuracy
from studies.options.variants import DEFAULT, Plan, Variant
from studies.quality.distilled import distil_in_piece
from studies.quality.spread import mean

RUN, COST = "run", "cost.json"
GAVE_UP = "gave_up"
"""The fact that stands in for the others where a distillation could not be finished."""


class Cost(BaseModel):
    """CPU-seconds of a training step, of this variant and of the defaults, measured in turn."""

    model_config = ConfigDict(frozen=True)

    own: float
    default: float

    def steps(self, default_steps: int) -> int:
        """How many training steps cost what so many of the defaults do."""
        return max(1, round(default_steps * self.default / self.own))


@dataclass(frozen=True)
class Lesson:
    """What images taught networks of fresh θ0: cross entropy in nats and class-balanced accuracy
    on training windows, one of each a θ0.
    """

    losses: list[float]
    accuracies: list[float]


def try_variant(
    plan: Plan, cohort: Path, variant: Variant, seed: int, folder: Path, watch: Watch
) -> Facts:
    """The piece that tries one variant; after a kill it goes on at its last checkpoint."""
    opened = open_cohort(cohort)
    cost = _cost(plan, opened, variant, folder / COST)
    steps = cost.steps(plan.outer_steps)
    settings = plan.settings(variant, steps, seed)
    spent: Facts = {"outer_steps": steps, "seconds_a_step": cost.own}
    try:
        outcome = distil_in_piece(opened, folder / RUN, settings, watch)
    except LostError:
        return spent | {GAVE_UP: True}
    taught = lesson(opened, outcome, settings, plan.windows)
    return spent | {
        "losses": [loss if isfinite(loss) else None for loss in taught.losses],
        "accuracy": mean(taught.accuracies),
        "patch_score": outcome.score.mean,
        "patch_score_deviation": outcome.score.deviation,
    }


def lesson(cohort: Cohort, outcome: Outcome, settings: Settings, windows: int) -> Lesson:
    """Train networks from fresh θ0 on the images, and look at training windows.

    Args:
        cohort: that was distilled.
        outcome: of the distillation.
        settings: of the distillation.
        windows: of each class, at most.
    """
    train = cohort.patches("train")
    rows = scoring_rows(train, windows, numpy_generator(settings.seed, "options-windows"))
    x, classes = as_tensors(train, rows, cohort)
    module = build(settings.network, cohort.protocol.side)
    data = tensors_of(outcome.distilled, settings.sets, torch.device("cpu"))
    losses, accuracies = [], []
    for number in range(settings.score_inits):
        theta0 = draw(
            settings.network, module, torch_generator(settings.seed, "options-theta0", number)
        )
        end: Parameters = trajectory_end(module, theta0, data, settings.trajectory)
        with torch.inference_mode():
            losses.append(functional.cross_entropy(forward(module, end, x), classes).item())
        accuracies.append(patch_accuracy(module, end, x, classes))
    return Lesson(losses, accuracies)


def seconds_a_step(cohort: Cohort, settings: Settings, steps: int) -> float:
    """The mean CPU-seconds of a training step, after one to warm up.

    The mean and not the median: with a random window some steps cost more than others.
    """
    stamps: list[float] = []

    def stamp(tick: Tick) -> None:
        stamps.append(time.process_time())

    never = 10**6
    long = settings.model_copy(
        update={"outer_steps": never, "score_every": never, "checkpoint_every": never}
    )
    with TemporaryDirectory() as aside, suppress(StoppedError):
        distill(
            cohort,
            Path(aside) / RUN,
            long,
            progress=stamp,
            stopping=lambda: len(stamps) > steps,  # saved before the next stamp, which is not used
        )
    return (stamps[steps - 1] - stamps[0]) / (steps - 1)


def _cost(plan: Plan, cohort: Cohort, variant: Variant, path: Path) -> Cost:
    """Measured once, so that a run that is taken up again has as many steps as it began with."""
    if not path.exists():
        seconds = {
            one: seconds_a_step(cohort, plan.settings(one, plan.outer_steps, 0), plan.timed_steps)
            for one in {variant, DEFAULT}
        }
        write_json(path, Cost(own=seconds[variant], default=seconds[DEFAULT]).model_dump())
    return Cost.model_validate_json(path.read_bytes())
