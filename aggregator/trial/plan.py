"""What a trial is asked to do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gdshare.method import Settings
from gdshare.pooling import Scheme
from gdshare.protocol import Protocol
from gdshare.training import TrainingPlan


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
        baseline: training on pooled real patches, ``per_class`` of each class in all.
        split: shares of training, validation and test patients.
        pooling: how bundles are pooled in the round.
        ensemble: networks that vote together on films, wherever a model is trained from bundles.
        film_inits: seeds from which the pooled model classifies films, and θ0 over which each way
            of pooling is scored, to show the spread.
        patch_inits: fresh θ0 a patch score on test patients is the mean of.
        score_patches: test patches of each class and site a patch score looks at, at most.
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


def tell_nobody(line: str) -> None:
    """Say nothing. A named function, since a stage may travel to another process."""


def show_nobody(what: str, done: int, total: int) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Stage:
    """How a trial tells what it does.

    Attributes:
        tell: one line at each part.
        show: (what, done, total) while a part runs.
    """

    tell: Callable[[str], None] = tell_nobody
    show: Callable[[str, int, int], None] = show_nobody
