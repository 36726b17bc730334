"""What is measured: every number that decides a run, in one frozen value."""

import json
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from pydantic import JsonValue

from gdshare.errors import UsageError

Batches = Literal["plain", "balanced"]
BATCHES: tuple[Batches, ...] = get_args(Batches)

TARGET = 3.0
"""Points of balanced accuracy by which distilled images may fall behind all real ones."""


@dataclass(frozen=True)
class Trial:
    """One way of training on real images; which is best, validation images say.

    Attributes:
        batches: plain: shuffled passes over the images; balanced: as many of each class a batch.
            The figure of merit is balanced, and the classes are 1 to 3.
        rate: Adam's learning rate.
    """

    batches: Batches
    rate: float


def distil_name(seed: int) -> str:
    """The piece of one seed's distillation."""
    return f"distil-{seed}"


def real_name(seed: int, trial: Trial) -> str:
    """The piece of one seed's training on real images by one trial."""
    return f"real-{seed}-{trial.batches}-{trial.rate:g}"


def judge_name(seed: int) -> str:
    """The piece in which one seed's networks see the test images."""
    return f"judge-{seed}"


@dataclass(frozen=True)
class PneumoniaPlan:
    """Everything that decides a run but the seeds.

    Attributes:
        engine: gdshare's, told nothing or told ``--labels hard``; with hard labels seed 0's images
            scored higher on validation images (docs/distill-options.md).
        steps: E · I, inner steps.
        batch: K, real images a training step of the distillation.
        outer_steps: T, its training steps; all three as ``gdshare distill`` has them by default.
        score_every: training steps between scores; the best scored state is the result.
        rates, epochs, patience, real_batch: of the trainings on real images, as in
            ``gdshare.training.TrainingPlan``.
        networks: fresh θ0 that networks are trained from on the distilled images.
        team: how many of these vote together.
        synthetic: so many drawn images of each class and split instead of real ones.
    """

    engine: Literal["ours", "ours-hard"] = "ours-hard"
    steps: int = 3
    batch: int = 24
    outer_steps: int = 600
    score_every: int = 50
    rates: tuple[float, ...] = (1e-3, 3e-4)
    epochs: int = 30
    patience: int = 4
    real_batch: int = 64
    networks: int = 10
    team: int = 5
    synthetic: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be done.

        Raises:
            UsageError: a team of more networks than there are.
        """
        if self.team > self.networks:
            raise UsageError(f"a team of {self.team} out of {self.networks}; plan more networks")

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Every way of training on real images."""
        return tuple(Trial(batches, rate) for batches in BATCHES for rate in self.rates)

    def as_data(self) -> dict[str, JsonValue]:
        """As plain JSON data."""
        data: dict[str, JsonValue] = json.loads(json.dumps(asdict(self)))
        return data


FULL = PneumoniaPlan()

QUICK = PneumoniaPlan(
    batch=8,
    outer_steps=4,
    score_every=2,
    rates=(1e-3,),
    epochs=2,
    real_batch=8,
    networks=4,
    team=2,
    synthetic=12,
)
"""To see that everything runs; its figures say nothing."""
