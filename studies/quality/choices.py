"""What validation patients decided in a fold."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue, TypeAdapter

from gdshare.method import Settings
from studies.quality.fold import Fold
from studies.quality.plan import Baseline


@dataclass(frozen=True)
class ArmChoice:
    """Of one arm.

    Attributes:
        scheme: the way of pooling.
        scheme_scores: way of pooling -> patch score of each network that it was tried by.
        site_scores: site -> patch score of its distilled images, mean and deviation over θ0.
    """

    scheme: str
    scheme_scores: dict[str, list[float]]
    site_scores: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Choice:
    """Of one fold.

    Attributes:
        arms: network -> its arm's.
        real_scores: baseline -> patch score.
    """

    arms: dict[str, ArmChoice]
    real_scores: dict[str, float]


def choice(fold: Fold, arms: Sequence[Settings], baselines: Sequence[Baseline]) -> Choice:
    """Read what was decided.

    Raises:
        RunError: a piece of these arms or baselines is not done, or damaged.
    """
    return Choice(
        {arm.network: _arm_choice(fold, arm) for arm in arms},
        {one.name: number(fold.facts(fold.real(one))["patch_score"]) for one in baselines},
    )


def number(value: JsonValue) -> float:
    """A piece's fact that is a number."""
    return TypeAdapter(float).validate_python(value)


def _arm_choice(fold: Fold, arm: Settings) -> ArmChoice:
    told = fold.facts(fold.scheme(arm))
    sites = {site: fold.facts(fold.distil(arm, site)) for site in fold.sites}
    return ArmChoice(
        str(told["scheme"]),
        TypeAdapter(dict[str, list[float]]).validate_python(told["scores"]),
        {
            site: (number(one["patch_score"]), number(one["patch_score_deviation"]))
            for site, one in sites.items()
        },
    )
