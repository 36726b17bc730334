"""What is measured: every number that decides a run, in frozen values."""

from dataclasses import dataclass, field
from typing import Literal

from gdshare.errors import UsageError

Batches = Literal["plain", "balanced"]
BATCHES: tuple[Batches, ...] = ("plain", "balanced")
DISTILLED = "distilled"  # the role of the distillation that is judged


@dataclass(frozen=True)
class Distilling:
    """How one image a class is distilled, all as ``gdshare distill`` does it but for the labels.

    With hard labels seed 0's images scored higher on validation images (docs/distill-options.md).
    """

    engine: Literal["ours", "ours-hard"] = "ours-hard"
    steps: int = 3  # E · I
    batch: int = 24  # K
    outer_steps: int = 600  # T
    score_every: int = 50  # training steps; the best scored state is the result
    images: str | None = None  # SHA-256 of the real images' file


@dataclass(frozen=True)
class Training:
    """One way of training on real images; which is best, validation images say.

    Plain batches are shuffled passes over the images; balanced ones have as many of each class: the
    figure of merit is balanced, and the classes are 1 to 3.
    """

    batches: Batches
    rate: float  # Adam's
    epochs: int
    patience: int
    batch: int
    images: str | None = None  # SHA-256 of the real images' file

    @property
    def name(self) -> str:
        """Of its cell."""
        return f"{self.batches}-{self.rate:g}"


@dataclass(frozen=True)
class Judging:
    """Which networks see the test images."""

    networks: int  # fresh θ0 that networks are trained from on the distilled images
    steps: int
    trials: tuple[Training, ...]  # of which the best is taken


@dataclass(frozen=True)
class Plan:
    """Everything that decides a study but its seeds."""

    distilling: Distilling = field(default_factory=Distilling)
    rates: tuple[float, ...] = (1e-3, 3e-4)  # of the trainings on real images
    epochs: int = 30
    patience: int = 4
    real_batch: int = 64
    networks: int = 10  # fresh θ0 that networks are trained from on the distilled images
    team: int = 5  # how many of these vote together
    synthetic: int | None = None  # so many drawn images of each class and split, not real ones

    def __post_init__(self) -> None:
        """Refuse what cannot be done.

        Raises:
            UsageError: a team of more networks than there are.
        """
        if self.team > self.networks:
            raise UsageError(f"a team of {self.team} out of {self.networks}; plan more networks")

    @property
    def trials(self) -> tuple[Training, ...]:
        """Every way of training on real images."""
        return tuple(
            Training(batches, rate, self.epochs, self.patience, self.real_batch)
            for batches in BATCHES
            for rate in self.rates
        )


FULL = Plan()
QUICK = Plan(
    Distilling(batch=8, outer_steps=4, score_every=2),
    rates=(1e-3,),
    epochs=2,
    real_batch=8,
    networks=4,
    team=2,
    synthetic=12,
)
"""To see that everything runs; its figures say nothing."""
