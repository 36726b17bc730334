"""Which bundles are attacked, and how hard."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gdshare.audit.audit_run import Effort
from gdshare.method import Settings
from gdshare.private.reference import Drawing
from gdshare.private.statistic import Shape
from gdshare.protocol import Protocol
from studies import guarantee
from studies.hospitals import Phantoms

Begin = Literal["noise", "patches"]
"""What images are before the first training step."""


@dataclass(frozen=True)
class Kind:
    """A kind of bundle.

    Attributes:
        word: in names of cells.
        title: in the tables.
        settings: of its distillation.
        start: what the images are before the first training step.
        budget: ε and δ of its guarantee; None: it has none.
        sites: how many hospitals it is measured at, the first ones.
        cpu_seconds: expected of a distillation.
        repeats: further bundles of the first hospital, of the same patients with other seeds, which
            are attacked with the help of the first one's shadows.
    """

    word: str
    title: str
    settings: Settings
    start: Begin = "noise"
    budget: tuple[float, float] | None = None
    sites: int = 2
    cpu_seconds: float = 30.0
    repeats: int = 0


@dataclass(frozen=True)
class Images:
    """What is measured on PneumoniaMNIST, beside the hospitals.

    Attributes:
        kinds: of sets; each starts from noise.
        shape: of a guarantee's queries.
        synthetic: so many drawn images of each class and split, not the real ones.
    """

    kinds: tuple[Kind, ...]
    shape: Shape
    synthetic: int | None = None


@dataclass(frozen=True)
class Plan:
    """Everything that decides the study but the noise of guarantees."""

    protocol: Protocol
    kinds: tuple[Kind, ...]
    effort: Effort
    shape: Shape
    drawing: Drawing
    names: tuple[str, ...] = ("shenzhen-a", "montgomery")
    seeds: int = 1
    phantoms: Phantoms | None = None
    images: Images | None = None


def kinds_of(
    head: Settings, whole: Settings, delta: float, repeats: int, others: Sequence[float] = ()
) -> tuple[Kind, ...]:
    """The rows of the table.

    Args:
        head: where a last layer is trained.
        whole: where all weights are.
        delta: of the guarantees.
        repeats: of each kind whose last layer is trained.
        others: each ε beside 8.
    """

    def other(settings: Settings, **changes: str) -> Settings:
        return Settings.model_validate(settings.model_dump() | changes)

    seconds = 40.0
    return (
        Kind("soft", "soft labels (default)", head, repeats=repeats),
        Kind("hard", "hard labels", other(head, labels="hard"), repeats=repeats),
        Kind("real", "started from real patches", head, start="patches", repeats=repeats),
        Kind("e8", "ε = 8", head, budget=(8.0, delta), repeats=repeats),
        Kind(
            "fixed",
            "ConvNet, announced θ0",
            other(whole, theta0="announced"),
            sites=1,
            cpu_seconds=seconds,
        ),
        *(
            Kind(
                *(f"e{epsilon:g}", f"ε = {epsilon:g}", head),
                budget=(epsilon, delta),
                sites=1,
                repeats=repeats,
            )
            for epsilon in others
        ),
    )


def kinds_of_images(
    settings: Settings, delta: float, epsilons: Sequence[float], repeats: int
) -> tuple[Kind, ...]:
    """The kinds of sets of PneumoniaMNIST: without a guarantee, and with each ε."""
    return (
        Kind("soft", "soft labels", settings, cpu_seconds=5.5, repeats=repeats),
        *(
            Kind(
                *(f"e{epsilon:g}", f"ε = {epsilon:g}", settings),
                budget=(epsilon, delta),
                cpu_seconds=5.5,
                repeats=repeats,
            )
            for epsilon in epsilons
        ),
    )


FULL = Plan(
    Protocol(patch=75, stride=13, side=32, tone="none"),
    kinds_of(
        Settings(),
        Settings(network="convnet", outer_steps=100, precision="float32"),
        delta=1e-5,
        repeats=4,
        others=(1.0, 3.0, 16.0),
    ),
    Effort(32, 4, (4, 2)),
    Shape(),
    Drawing(),
    images=Images(
        kinds_of_images(guarantee.FULL.settings, delta=1e-5, epsilons=(1.0, 8.0), repeats=4),
        guarantee.FULL.images,
    ),
)
QUICK = Plan(
    Protocol(patch=40, stride=20, side=16, tone="none"),
    kinds_of(
        Settings(outer_steps=4, score_every=2, batch=60, feature_patches=60),
        Settings(network="convnet", outer_steps=2, score_every=2, batch=12, precision="float32"),
        delta=1e-3,
        repeats=1,
    ),
    Effort(4, 2, (1, 1)),
    Shape(dimension=4, windows=8, fewest=2),
    Drawing(films=1, windows=20),
    phantoms=Phantoms(hospitals=1, per_diagnosis=26),
    images=Images(
        kinds_of_images(
            Settings(outer_steps=12, score_every=12), delta=1e-3, epsilons=(8.0,), repeats=1
        ),
        guarantee.QUICK.images,
        guarantee.QUICK.synthetic,
    ),
)
