"""What is measured: every number that decides a run, in one frozen value."""

from dataclasses import dataclass, replace
from typing import Literal

from gdshare.method import Settings
from gdshare.pooling import SCHEMES, Scheme
from gdshare.protocol import CLASSES, Protocol
from gdshare.seeding import derived_seed
from gdshare.training import TrainingPlan
from studies.hospitals import Phantoms

Kind = Literal["group", "batch", "convnet"]  # gdshare's ResNet18, torchvision's, the ConvNet
NORMS: tuple[Kind, ...] = ("group", "batch")  # the kinds that are ResNet18 and differ by its norm
NETWORKS = {
    "convnet": "ConvNet",
    "resnet18": "ResNet18",
    "scattering": "scattering",
}  # network -> its name in tables
KIND_NAMES = {"group": "ResNet18 GroupNorm", "batch": "ResNet18 BatchNorm", "convnet": "ConvNet"}


@dataclass(frozen=True)
class Baseline:
    """One way of training on real patches."""

    per_class: int  # real patches of each class, all hospitals together
    kind: Kind

    @property
    def patches(self) -> int:
        return self.per_class * len(CLASSES)

    @property
    def network(self) -> str:
        return "convnet" if self.kind == "convnet" else "resnet18"

    @property
    def name(self) -> str:
        return f"real-{self.patches}-{self.kind}"

    @property
    def title(self) -> str:
        return f"{self.patches} real, {KIND_NAMES[self.kind]}"


def arm_name(arm: Settings) -> str:
    """In the names of cells: the network, and the part of it that is trained if not all."""
    return arm.network if arm.train == "all" else f"{arm.network}-{arm.train}"


def arm_label(arm: Settings) -> str:
    """The same in tables."""
    return NETWORKS[arm.network] + (f" {arm.train}" if arm.train != "all" else "")


@dataclass(frozen=True)
class Pooling:
    """Networks trained on one arm's images of all hospitals."""

    arm: Settings
    schemes: tuple[Scheme, ...]  # the way of best patch score on validation patients is taken
    networks: int  # θ0 that they are trained from
    beside: bool = False  # a second look at an arm, not among the figures of interest

    @property
    def network(self) -> str:
        return self.arm.network

    @property
    def name(self) -> str:
        return arm_name(self.arm) + "-chosen" * self.beside

    @property
    def label(self) -> str:
        return arm_label(self.arm) + ", best pooling" * self.beside

    @property
    def title(self) -> str:
        return f"distilled on {self.label}"


@dataclass(frozen=True)
class Crossing:
    """How images distilled on one network are tried on another."""

    factors: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)  # on all learned rates, to choose from
    choosing: int = 5  # θ0 that each factor is tried from, on validation windows
    judging: int = 10  # fresh θ0 that the chosen one is judged from, on test windows
    folds: int = 1  # in how many, from the first


@dataclass(frozen=True)
class Plan:
    """Everything that decides a run.

    ``primary`` is the team size whose figures are the primary ones, with the first arm and held
    against ResNet18 with the better norm: named beforehand. It is what rounds use. A film stride of
    four times the protocol's sees nearly every part of a film with a fourteenth of the windows.
    """

    protocol: Protocol  # of the patches that networks are trained on
    arms: tuple[Settings, ...]  # of the distillations; seeds are replaced
    training: TrainingPlan  # of every baseline; network, seed, number of patches are replaced
    sizes: tuple[int, ...] = (1000, 2000, 3000)  # real patches of each class, of the baselines
    folds: int = 3  # parts of each hospital's patients
    validation: float = 0.2  # share of the patients outside a fold's test part
    film_stride: int = 52  # px between windows when films are classified, by every network alike
    networks: int = 20  # θ0 that networks are trained from on distilled images
    teams: tuple[int, ...] = (1, 5, 20)  # how many of these vote together
    primary: int = 5
    schemes: tuple[Scheme, ...] = SCHEMES  # ways of pooling to choose from
    head_schemes: tuple[Scheme, ...] = ()  # further, for heads alone, which are pooled once more
    scheme_networks: int = 3  # further θ0, by which the way of pooling is chosen
    crossing: Crossing = Crossing()
    smallest_first: bool = False  # of the baselines; else the longest, so that none is left alone
    score_patches: int = 300  # of each class and site that a patch score looks at, at most
    seed: int = 0
    phantoms: Phantoms | None = None  # synthetic films instead of real ones

    @property
    def baselines(self) -> tuple[Baseline, ...]:
        """ResNet18 of either norm on every size, and the ConvNet on the largest alone."""
        norms = tuple(Baseline(size, kind) for size in self.sizes for kind in NORMS)
        return (*norms, *(Baseline(max(self.sizes), "convnet") for _ in self.sizes[:1]))

    @property
    def poolings(self) -> tuple[Pooling, ...]:
        """Of every arm, then of the heads by the further ways; an announced θ0: one network."""
        first = [
            Pooling(arm, self.schemes, 1 if arm.theta0 == "announced" else self.networks)
            for arm in self.arms
        ]
        heads = [arm for arm in self.arms if arm.train == "head" and self.head_schemes]
        return *first, *(Pooling(arm, self.head_schemes, 1, beside=True) for arm in heads)

    def settings_of(self, arm: Settings, site: str, fold: int) -> Settings:
        seed = seed_of(self.seed, f"distil-{arm_name(arm)}-{site}", fold)
        return arm.model_copy(update={"seed": seed})

    def training_of(self, baseline: Baseline, fold: int) -> TrainingPlan:
        """Of one baseline in one fold; all kinds get the same patches in the same order."""
        seed, per_class = seed_of(self.seed, "real", fold), baseline.per_class
        return replace(self.training, network=baseline.network, per_class=per_class, seed=seed)

    def cost(self, seconds: float) -> float:
        """CPU-seconds expected of what takes so many in full."""
        return 1.0 if self.phantoms else seconds


def seed_of(seed: int, purpose: str, fold: int) -> int:
    """A plan's seed -> one for one use in one fold."""
    return derived_seed(seed, f"quality-{purpose}", fold)


FULL = Plan(
    Protocol(patch=75, stride=13, side=32, tone="none"),
    (
        Settings(network="convnet", train="all", images=3, outer_steps=600, score_every=50),
        Settings(network="resnet18", train="all", images=3, outer_steps=600, score_every=50),
    ),
    TrainingPlan(patience=5),
)

_SMALL = {"train": "all", "images": 3, "epochs": 2, "steps": 2, "outer_steps": 4, "batch": 12}
_SMALL |= {"score_every": 2, "score_inits": 2, "score_patches": 20, "checkpoint_every": 2}

QUICK = Plan(
    Protocol(patch=40, stride=20, side=16, tone="none"),
    tuple(Settings.model_validate({"network": name, **_SMALL}) for name in ("convnet", "resnet18")),
    TrainingPlan(epochs=2, batch=16, rates=(1e-3,)),
    sizes=(10, 20),
    folds=2,
    film_stride=40,
    networks=4,
    teams=(1, 2, 4),
    primary=2,
    schemes=("average", "sequential"),  # union's 300 steps of ResNet18 take a minute
    scheme_networks=1,
    crossing=Crossing(factors=(0.3, 1.0), choosing=1, judging=2),
    score_patches=20,
    phantoms=Phantoms(hospitals=2),
)
