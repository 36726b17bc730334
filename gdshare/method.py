"""Every setting of the distillation, with the source's value in its description.

``Method`` is published in a bundle; ``Settings`` adds what stays at the hospital: above all the
seed, since whoever knows the seed of a run can repeat its draws.
"""

from collections.abc import Callable, Mapping
from math import cos, pi
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from gdshare.protocol import CLASSES, Protocol, Versioned

Steps = Annotated[int, Field(ge=1, le=64)]
Positive = Annotated[float, Field(gt=0.0, le=100.0, allow_inf_nan=False)]
Precision = Literal["float32", "bfloat16"]


HEAD = "--train head"
ONLY_HEAD = "scattering"
"""The network that has no other weights than its last layer's."""
BY_NETWORK: Mapping[str, Mapping[str, float | str]] = {
    "steps": {"resnet18": 3, "convnet": 3, HEAD: 1},
    "outer": {"resnet18": "adam", "convnet": "adam", HEAD: "lbfgs"},
    "outer_loss": {"resnet18": "cross-entropy", "convnet": "cross-entropy", HEAD: "square"},
    "penalty": {"resnet18": 0.0, "convnet": 0.0, HEAD: 1e-4},
    "outer_steps": {"resnet18": 600, "convnet": 600, HEAD: 400},
    "batch": {"resnet18": 24, "convnet": 24, HEAD: 6000},
    "outer_rate": {"resnet18": 0.1, "convnet": 0.05, HEAD: 0.1},
    "inner_rate": {"resnet18": 0.01, "convnet": 0.02, HEAD: 30.0},
    "theta0": {"resnet18": "random", "convnet": "random", HEAD: "announced"},
}
"""Setting -> network that is trained whole, or the last layer of any -> default
(docs/distill-options.md has the figures)."""


def _by_network(name: str) -> Callable[[dict[str, Any]], Any]:
    def default(values: dict[str, Any]) -> float | str:
        network = values["network"]
        by_head = values.get("train") == "head" or network == ONLY_HEAD
        return BY_NETWORK[name][HEAD if by_head else network]

    return default


def _by_what_is_trainable(values: dict[str, Any]) -> Literal["all", "head"]:
    return "head" if values["network"] == ONLY_HEAD else "all"


class Frozen(BaseModel):
    """Frozen, strict; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Method(Versioned):
    """The settings of Algorithm 1, and of what this project decides where it is silent.

    Each description gives the source's value (Li et al. 2020), or "not given" with the default of
    Wang et al.'s published code beside it, on which the source builds.
    """

    SINCE_1_1: ClassVar[Mapping[str, object]] = {
        "train": "all",
        "outer": "adam",
        "outer_loss": "cross-entropy",
        "penalty": 0.0,
    }
    SPELLED_IN_1_0: ClassVar[Mapping[str, Mapping[str, str]]] = {"theta0": {"fixed": "announced"}}

    network: Annotated[
        Literal["resnet18", "convnet", "scattering"],
        Field(
            description="the network that the inner steps train; scattering is fixed but for its "
            "last layer. Source: ResNet18."
        ),
    ] = "scattering"
    train: Annotated[
        Literal["all", "head"],
        Field(
            description="what the inner steps train: all weights, or the last layer alone, on a "
            "body that stays at the announced θ0. If not set: head for scattering, else all. "
            "Source: all."
        ),
    ] = Field(default_factory=_by_what_is_trainable)
    images: Annotated[
        int,
        Field(ge=1, le=300, description="M, distilled images in all. Source: 3, one a class."),
    ] = 3
    epochs: Annotated[
        Steps, Field(description="E, passes over the distilled images. Source: 3.")
    ] = 1
    steps: Annotated[
        Steps, Field(description="I, gradient steps a pass. Source: 3, so 9 steps in all.")
    ] = Field(default_factory=_by_network("steps"))
    outer: Annotated[
        Literal["adam", "lbfgs"],
        Field(
            description="what moves images, labels and α̃: Adam, with a new minibatch at every "
            "training step, or L-BFGS, with the same one at every step. Source: not given. "
            "Wang et al.: Adam.",
        ),
    ] = Field(default_factory=_by_network("outer"))
    outer_loss: Annotated[
        Literal["cross-entropy", "square"],
        Field(
            description="of real patches under the trained network: cross entropy, or the squared "
            "difference of logits and centred one-hot labels. Source: cross-entropy.",
        ),
    ] = Field(default_factory=_by_network("outer_loss"))
    penalty: Annotated[
        float,
        Field(
            ge=0.0,
            le=1.0,
            allow_inf_nan=False,
            description="of the last layer's squared weights, added to the outer loss of "
            "--train head. Source: 0.",
        ),
    ] = Field(default_factory=_by_network("penalty"))
    outer_steps: Annotated[
        int,
        Field(
            ge=1,
            le=10_000_000,
            description="T, training steps. Source: 400 epochs, steps not given. Wang et al.: "
            "400 epochs.",
        ),
    ] = Field(default_factory=_by_network("outer_steps"))
    batch: Annotated[
        int,
        Field(
            ge=3,
            le=65536,
            description="K, real patches a training step, balanced over the classes. Source: not "
            "given. Wang et al.: 1024.",
        ),
    ] = Field(default_factory=_by_network("batch"))
    outer_rate: Annotated[
        Positive,
        Field(
            description="α, Adam's learning rate for images, labels and α̃; L-BFGS has none. "
            "Source: not given. Wang et al.: 0.01.",
        ),
    ] = Field(default_factory=_by_network("outer_rate"))
    outer_decay: Annotated[
        Literal["cosine", "none"],
        Field(
            description="how α falls over the training steps: to 0 along half a cosine, or not. "
            "Source: not given. Wang et al.: halved every 40 epochs.",
        ),
    ] = "cosine"
    labels: Annotated[
        Literal["soft", "hard"],
        Field(
            description="soft labels are learned, hard ones stay one-hot (Ex. II). Source: soft."
        ),
    ] = "soft"
    label_scale: Annotated[
        Positive,
        Field(
            description="ỹ0 as the logit of an image's own class, the others 0. Source: one-hot, "
            "scale not given; its Figure 3 shows 0.75 to 0.77, about what scale 2 starts from. "
            "Wang et al.: hard labels only.",
        ),
    ] = 5.0
    inner_rate: Annotated[
        Positive,
        Field(
            description="α̃0, the inner learning rate at the start. Source: not given (0.0073 "
            "learned with soft labels). Wang et al.: 0.02.",
        ),
    ] = Field(default_factory=_by_network("inner_rate"))
    inner_rates: Annotated[
        Literal["shared", "per-step"],
        Field(
            description="one α̃, or one for each of the E·I steps. Source: Figure 3 shows one. "
            "Wang et al.: one per step.",
        ),
    ] = "per-step"
    sets: Annotated[
        int,
        Field(
            ge=1,
            description="sets that the images are divided into: 1, or as many as --steps, a set "
            "for each step of a pass. Source: 1. Wang et al.: one a step.",
        ),
    ] = 1
    unroll: Annotated[
        Literal["full", "window", "greedy"],
        Field(
            description="how far the derivative runs back: through the whole trajectory, through "
            "the last --window steps before a random end, or through one step. Source: ambiguous, "
            "see the method notes. Wang et al.: full.",
        ),
    ] = "full"
    window: Annotated[
        Steps,
        Field(description="steps differentiated through with --unroll window. Source: no window."),
    ] = 3
    theta0: Annotated[
        Literal["random", "announced"],
        Field(
            description="initial weights: fresh at every training step, or always those of "
            "--theta0-number, which receivers must then use too. Source: random."
        ),
    ] = Field(default_factory=_by_network("theta0"))
    theta0_number: Annotated[
        int,
        Field(
            ge=0,
            lt=2**63,
            description="public number that a round draws its announced θ0 from.",
        ),
    ] = 0
    draws: Annotated[
        int,
        Field(
            ge=1,
            le=1024,
            description="θ0, each with its own minibatch, that a training step averages over; "
            "--workers divide them. Source: not given. Wang et al.: 1.",
        ),
    ] = 1
    augment: Annotated[
        Literal["none", "mirror"],
        Field(
            description="mirror half of all minibatches left to right, or none. Source: not given. "
            "Wang et al.: none for gray images.",
        ),
    ] = "none"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.sets not in (1, self.steps):
            raise ValueError(f"{self.sets} sets for {self.steps} steps; choose 1 or {self.steps}")
        if self.images % self.sets:
            raise ValueError(f"{self.images} images cannot be divided into {self.sets} sets")
        if self.sets > 1 and self.images // self.sets < len(CLASSES):
            raise ValueError(
                f"{self.images} images in {self.sets} sets leave a class out of each; "
                f"take {self.sets * len(CLASSES)} images or more"
            )
        if self.train == "all" and self.network == ONLY_HEAD:
            raise ValueError("network scattering has only its last layer to train; add train head")
        if self.train == "all" and (self.outer, self.outer_loss, self.penalty) != (
            "adam",
            "cross-entropy",
            0.0,
        ):
            raise ValueError(
                "outer lbfgs, outer_loss square and a penalty need train head, which looks at the "
                "same patches at every step; leave them out"
            )
        if self.outer == "lbfgs" and self.unroll != "full":
            raise ValueError("outer lbfgs needs exact derivatives; choose unroll full")
        if self.train == "head" and self.theta0 == "random":
            raise ValueError("train head needs a body that stays the same; choose theta0 announced")
        if self.train == "head" and self.draws > 1:
            raise ValueError("train head has a single θ0 to draw; leave out draws, and raise batch")
        if self.train == "head" and self.augment != "none":
            raise ValueError("train head computes each patch's features once; leave out augment")
        if self.theta0 == "random" and self.theta0_number:
            raise ValueError("theta0_number has no meaning when theta0 is random; leave it out")
        return self

    @property
    def trajectory(self) -> int:
        """E · I, the number of inner gradient steps."""
        return self.epochs * self.steps

    def outer_rate_at(self, step: int) -> float:
        """α of a training step, counted from 0."""
        if self.outer_decay == "none":
            return self.outer_rate
        return self.outer_rate * 0.5 * (1 + cos(pi * step / self.outer_steps))

    @property
    def reach(self) -> int:
        """Steps differentiated through with a window, at most the whole trajectory."""
        return min(self.window, self.trajectory)


class Settings(Method):
    """``Method``, and the settings that stay at the hospital."""

    SINCE_1_1: ClassVar[Mapping[str, object]] = {**Method.SINCE_1_1, "feature_patches": 3000}

    seed: Annotated[
        int,
        Field(
            ge=0,
            lt=2**63,
            description="decides every draw; never leaves the hospital, and must not be guessable.",
        ),
    ] = 0
    score_every: Annotated[
        int,
        Field(
            ge=1,
            description="training steps between patch scores on validation patients; the best "
            "scored state is the result. Source: every 10 epochs.",
        ),
    ] = 25
    score_inits: Annotated[
        int, Field(ge=1, le=1000, description="fresh θ0 that a patch score is the mean over.")
    ] = 10
    score_patches: Annotated[
        int, Field(ge=1, description="validation patches of each class to score on, at most.")
    ] = 200
    feature_patches: Annotated[
        int,
        Field(
            ge=1,
            description="training patches of each class whose features --train head keeps in "
            "memory, at most; 3,000 of the ConvNet at 32 px take 75 MB a body.",
        ),
    ] = 3000
    checkpoint_every: Annotated[
        int, Field(ge=1, description="training steps between checkpoints, lost at most by kill -9.")
    ] = 10

    precision: Annotated[
        Precision,
        Field(
            description="of the factors of the derivatives' matrix products; weights and sums stay "
            "float32. If not set: bfloat16 for the ConvNet on a processor that multiplies it in "
            "hardware, else float32. Source: not given. Wang et al.: float32.",
        ),
    ] = "float32"

    def method(self) -> Method:
        """The part that a bundle publishes: without the seed and the housekeeping."""
        return Method(**{name: getattr(self, name) for name in Method.model_fields})


class Counts(Frozen):
    """Training data of a run: patients by diagnosis, patches by class."""

    patients_negative: Annotated[int, Field(ge=0, le=10**9)]
    patients_positive: Annotated[int, Field(ge=0, le=10**9)]
    patches_i: Annotated[int, Field(ge=0, le=10**12)]
    patches_n: Annotated[int, Field(ge=0, le=10**12)]
    patches_p: Annotated[int, Field(ge=0, le=10**12)]

    @property
    def patients(self) -> int:
        """Training patients in all."""
        return self.patients_negative + self.patients_positive


class RunRecord(Frozen):
    """``run.json``: what a run was started with. It stays at the hospital; publish reads it.

    Attributes:
        settings: of the run, its seed included.
        protocol: of the patches.
        initialiser: name and version of the scheme that draws θ0, from ``networks``.
        counts: of the training data.
        theta0_sha256: of the announced θ0 (``networks.digest``), else None.
        cohort_sha256: of the cohort's windows, so that a run is never resumed on others.
        classes: in the order of the labels' columns.
        torch, threads, device: release, number and name; a run repeats bit for bit on the same.
        privacy_sha256: of ``privacy.json``, of a run under a guarantee; None: without one, or of
            before runs named it. It is left out of the file then.
    """

    format: Literal["gdshare-run/2"] = "gdshare-run/2"
    settings: Settings
    protocol: Protocol
    initialiser: str
    counts: Counts
    theta0_sha256: str | None
    cohort_sha256: str
    classes: Literal["I,N,P"] = "I,N,P"
    torch: str
    threads: Annotated[int, Field(ge=1)]
    device: str
    privacy_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None

    @model_serializer(mode="wrap")
    def _as_before_guarantees(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = write(self)
        if self.privacy_sha256 is None:
            values.pop("privacy_sha256", None)
        return values

    @property
    def method(self) -> Method:
        """The settings that a bundle publishes."""
        return self.settings.method()
