"""What is measured; the settings are written out, so that results outlive a change of defaults."""

from dataclasses import dataclass, replace

from gdshare.method import Settings
from gdshare.pooling import SCHEMES, Scheme
from studies.quality import plan as quality


@dataclass(frozen=True)
class Plan:
    """What is measured.

    ``plain`` is the plan of ``studies.quality``, whose results are printed beside.
    """

    shared: quality.Plan
    plain: quality.Plan


def claimed(
    plain: quality.Plan, arms: tuple[Settings, ...], head_schemes: tuple[Scheme, ...]
) -> quality.Plan:
    """The same patients, splits and windows; a head is one network; no baselines of its own."""
    return replace(
        plain,
        arms=arms,
        sizes=(),
        networks=1,
        teams=(1,),
        primary=1,
        schemes=("average",),
        head_schemes=head_schemes,
        scheme_networks=1,
        crossing=replace(plain.crossing, folds=0),
    )


HEAD = {"train": "head", "images": 3, "steps": 1, "outer": "lbfgs", "outer_loss": "square"}
HEAD |= {"penalty": 1e-4, "outer_steps": 400, "batch": 6000, "inner_rate": 30.0}

FULL = Plan(
    claimed(
        quality.FULL,
        tuple(
            Settings.model_validate({"network": network, **HEAD})
            for network in ("scattering", "convnet", "resnet18")
        ),
        SCHEMES,
    ),
    quality.FULL,
)

_HEAD = {**HEAD, "outer_steps": 4, "batch": 30, "score_every": 2, "score_patches": 20}
_HEAD |= {"checkpoint_every": 2, "feature_patches": 20}

QUICK = Plan(
    claimed(
        quality.QUICK,
        tuple(
            Settings.model_validate({"network": network, **_HEAD})
            for network in ("scattering", "convnet", "resnet18")
        ),
        quality.QUICK.schemes,
    ),
    quality.QUICK,
)
