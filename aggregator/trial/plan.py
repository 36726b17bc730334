"""What a trial is asked to do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gdshare.method import Settings
from gdshare.pooling import Scheme
from gdshare.protocol import Protocol
from gdshare.training import TrainingPlan

Show = Callable[[str, int, int], None]
"""Called with (description, done, total) while a part of the trial runs."""


@dataclass(frozen=True)
class Hospital:
    """One hospital: its name in the trial, and its cohort table."""

    name: str
    table: Path


@dataclass(frozen=True)
class Trial:
    """A trial's plan.

    Attributes:
        hospitals: two or more, each with its own films.
        protocol: of the round.
        settings: of every hospital's distillation; each adds its place in the list to the seed.
        baseline: training on pooled real patches, ``per_class`` of each class in total.
        split: shares of training, validation and test patients.
        pooling: how bundles are pooled in the round.
        ensemble: how many networks vote together on films in each model trained from bundles.
        film_inits: seeds with which the pooled model classifies films, and θ0 over which each way
            of pooling is scored, to show the spread.
        patch_inits: how many fresh θ0 a patch score on test patients is the mean of.
        score_patches: test patches per class and site for a patch score, at most.
        minimum_films: a hospital counts no split with fewer.
    """

    hospitals: Sequence[Hospital]
    protocol: Protocol
    settings: Settings
    baseline: TrainingPlan
    split: tuple[float, float, float] = (0.6, 0.2, 0.2)
    pooling: Scheme = "average"
    ensemble: int = 5
    film_inits: int = 3
    patch_inits: int = 10
    score_patches: int = 300
    minimum_films: int = 10


def show_nothing(description: str, done: int, total: int) -> None:
    """A ``Show`` for nobody; a named function, since it may travel to another process."""
