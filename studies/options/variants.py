"""What is tried, and with how much work."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from pydantic import JsonValue

from gdshare.method import Settings

Value = str | int | float


@dataclass(frozen=True)
class Variant:
    """The defaults but for a few options.

    Attributes:
        name: of its row and its folder, and what the command line would be told.
        told: setting -> value.
    """

    name: str
    told: Mapping[str, Value] = field(default_factory=dict, hash=False)


DEFAULT = Variant("defaults")

VARIANTS = (
    DEFAULT,
    Variant("--epochs 3", {"epochs": 3}),
    Variant("--batch 48", {"batch": 48}),
    Variant("--draws 2", {"draws": 2}),
    Variant("--unroll window --window 2", {"unroll": "window", "window": 2}),
    Variant("--unroll greedy", {"unroll": "greedy"}),
    Variant("--labels hard", {"labels": "hard"}),
    Variant("--label-scale 2", {"label_scale": 2.0}),
    Variant("--inner-rates shared", {"inner_rates": "shared"}),
    Variant("--inner-rate 0.1", {"inner_rate": 0.1}),
    Variant("--outer-rate 0.1", {"outer_rate": 0.1}),
    Variant("--outer-rate 0.02", {"outer_rate": 0.02}),
    Variant("--outer-decay none", {"outer_decay": "none"}),
    Variant("--augment mirror", {"augment": "mirror"}),
)


@dataclass(frozen=True)
class Plan:
    """Everything that decides a run but the seeds and the machine's speed.

    Attributes:
        variants: in the order of the table, the defaults first.
        outer_steps: T of the defaults; a variant gets as many as cost the same.
        timed_steps: training steps by which the cost of one is measured; 2 or more.
        inits: fresh θ0 that images are judged from.
        windows: training windows of each class that the loss is taken on.
        synthetic: films of each diagnosis of a phantom hospital in place of the real one.
    """

    variants: tuple[Variant, ...] = VARIANTS
    outer_steps: int = 300
    timed_steps: int = 12
    inits: int = 10
    windows: int = 200
    synthetic: int | None = None

    def settings(self, variant: Variant, outer_steps: int, seed: int) -> Settings:
        """Of one variant's run; scored once, at its end."""
        return Settings.model_validate(
            {
                "precision": "float32",
                "outer_steps": outer_steps,
                "score_every": outer_steps,
                "score_inits": self.inits,
                "score_patches": self.windows,
                "seed": seed,
                **variant.told,
            }
        )

    def as_data(self) -> dict[str, JsonValue]:
        """As plain JSON data, with what the variants vary."""
        defaults = self.settings(DEFAULT, self.outer_steps, 0).model_dump(mode="json")
        values = asdict(self) | {"defaults": defaults}
        data: dict[str, JsonValue] = json.loads(json.dumps(values))
        return data


FULL = Plan()
QUICK = Plan(
    (DEFAULT, VARIANTS[4], VARIANTS[6]),
    outer_steps=4,
    timed_steps=2,
    inits=2,
    windows=20,
    synthetic=6,
)
"""To see that everything runs; its figures say nothing."""
