"""What is measured: every number that decides a run, in one frozen value."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Literal

from pydantic import JsonValue

from gdshare.errors import UsageError
from gdshare.method import Settings
from gdshare.pooling import SCHEMES, Scheme
from gdshare.protocol import CLASSES, Protocol
from gdshare.seeding import derived_seed
from gdshare.training import TrainingPlan

Kind = Literal["group", "batch", "convnet"]
NORMS: tuple[Kind, ...] = ("group", "batch")
"""The kinds that are ResNet18 and differ by its norm."""

NETWORKS = {"convnet": "ConvNet", "resnet18": "ResNet18"}
"""Network -> its name in tables."""


@dataclass(frozen=True)
class Phantoms:
    """Synthetic hospitals in place of real ones.

    Attributes:
        hospitals: how many.
        per_diagnosis: films of each diagnosis at each.
        size: side of a film, px.
    """

    hospitals: int = 3
    per_diagnosis: int = 6
    size: int = 256


@dataclass(frozen=True)
class Baseline:
    """One way of training on real patches.

    Attributes:
        per_class: real patches of each class, all hospitals together.
        kind: group: gdshare's ResNet18, with GroupNorm; batch: torchvision's own, with BatchNorm;
            convnet: gdshare's ConvNet.
    """

    per_class: int
    kind: Kind

    @property
    def patches(self) -> int:
        """Real patches in all, as the source counts them."""
        return self.per_class * len(CLASSES)

    @property
    def network(self) -> str:
        """Of which this is a kind."""
        return "convnet" if self.kind == "convnet" else "resnet18"

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"real-{self.patches}-{self.kind}"

    @property
    def title(self) -> str:
        """Of its row in tables."""
        words = {"group": "ResNet18 GroupNorm", "batch": "ResNet18 BatchNorm", "convnet": "ConvNet"}
        return f"{self.patches} real, {words[self.kind]}"


@dataclass(frozen=True)
class Crossing:
    """How images distilled on one network are tried on another.

    Attributes:
        factors: that all learned rates are multiplied by; the best on validation windows is kept.
        choosing: θ0 that each factor is tried from.
        judging: fresh θ0 that the kept one is judged from on test windows.
        folds: in how many folds, from the first.
    """

    factors: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)
    choosing: int = 5
    judging: int = 10
    folds: int = 1


@dataclass(frozen=True)
class Plan:
    """Everything that decides a run.

    Attributes:
        protocol: of the patches that networks are trained on.
        arms: settings of the distillations, one a network, by which it is named; the first is done
            first. The seed is replaced fold by fold and site by site.
        training: of every baseline; its network, seed and number of patches are replaced.
        sizes: real patches of each class that baselines are trained on.
        folds: parts that each hospital's patients are divided into; 2 or more.
        validation: share of the patients outside a fold's test part that are its validation.
        film_stride: px between windows when films are classified, by every network alike. Four
            times the protocol's stride sees nearly every part of a film with a fourteenth of the
            windows.
        networks: θ0 that networks are trained from on distilled images.
        teams: how many of these vote together; 1, some, all.
        primary: of these team sizes the one whose figures are the primary ones, with the first arm
            and held against ResNet18 with the better norm: named beforehand. It is what rounds use.
        schemes: ways of pooling to choose from.
        scheme_networks: further θ0, by which the way of pooling is chosen.
        crossing: how images distilled on one network are tried on another.
        score_patches: patches of each class and site that a patch score looks at, at most.
        seed: decides every draw.
        phantoms: synthetic films instead of real ones.
    """

    protocol: Protocol
    arms: tuple[Settings, ...]
    training: TrainingPlan
    sizes: tuple[int, ...] = (1000, 2000, 3000)
    folds: int = 3
    validation: float = 0.2
    film_stride: int = 52
    networks: int = 20
    teams: tuple[int, ...] = (1, 5, 20)
    primary: int = 5
    schemes: tuple[Scheme, ...] = SCHEMES
    scheme_networks: int = 3
    crossing: Crossing = Crossing()
    score_patches: int = 300
    seed: int = 0
    phantoms: Phantoms | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be done.

        Raises:
            UsageError: fewer than two folds, a team of more networks than there are, a primary
                team that is none of the planned ones, or not one arm for each of some networks.
        """
        if self.folds < 2:
            raise UsageError(f"--folds {self.folds}: cross-validation needs 2 or more")
        if max(self.teams) > self.networks:
            raise UsageError(
                f"a team of {max(self.teams)} out of {self.networks} networks; plan more networks"
            )
        if self.primary not in self.teams:
            raise UsageError(f"no team of {self.primary} networks; plan one, or another primary")
        if not self.arms or len({arm.network for arm in self.arms}) < len(self.arms):
            raise UsageError("arms are named by their network; plan one for each of some networks")

    @property
    def baselines(self) -> tuple[Baseline, ...]:
        """ResNet18 of either norm on every size, and the ConvNet on the largest alone."""
        norms = tuple(Baseline(size, kind) for size in self.sizes for kind in NORMS)
        return (*norms, Baseline(max(self.sizes), "convnet"))

    @property
    def film_protocol(self) -> Protocol:
        """By which films are cut to be classified."""
        return self.protocol.model_copy(update={"stride": self.film_stride})

    def seed_of(self, purpose: str, fold: int) -> int:
        """A seed for one use in one fold."""
        return derived_seed(self.seed, f"quality-{purpose}", fold)

    def settings_of(self, arm: Settings, site: str, fold: int) -> Settings:
        """Of one hospital's distillation in one fold."""
        seed = self.seed_of(f"distil-{arm.network}-{site}", fold)
        return arm.model_copy(update={"seed": seed})

    def training_of(self, baseline: Baseline, fold: int) -> TrainingPlan:
        """Of one baseline in one fold; all kinds get the same patches in the same order."""
        return replace(
            self.training,
            network=baseline.network,
            per_class=baseline.per_class,
            seed=self.seed_of("real", fold),
        )

    def as_data(self) -> dict[str, JsonValue]:
        """As plain JSON data."""
        values = asdict(self) | {
            "protocol": self.protocol.model_dump(mode="json"),
            "arms": {arm.network: arm.model_dump(mode="json") for arm in self.arms},
        }
        data: dict[str, JsonValue] = json.loads(json.dumps(values))
        return data


FULL = Plan(
    Protocol(patch=75, stride=13, side=32),
    (
        Settings(network="convnet", images=3, outer_steps=600, score_every=50),
        Settings(network="resnet18", images=3, outer_steps=600, score_every=50),
    ),
    TrainingPlan(patience=5),
)


def _quick_arm(network: Literal["convnet", "resnet18"]) -> Settings:
    return Settings(
        network=network,
        images=3,
        epochs=2,
        steps=2,
        outer_steps=4,
        batch=12,
        score_every=2,
        score_inits=2,
        score_patches=20,
        checkpoint_every=2,
    )


QUICK = Plan(
    Protocol(patch=40, stride=20, side=16),
    (_quick_arm("convnet"), _quick_arm("resnet18")),
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
"""To see that everything runs; its figures say nothing."""
