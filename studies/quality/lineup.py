"""Which models are compared, and which of their networks vote together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gdshare.cohort import Split
from gdshare.method import Settings
from studies.quality.figures import Films, Rule, Team, Verdicts, Way, judge
from studies.quality.plan import NETWORKS, NORMS, Baseline, Plan

PAIRED_MODELS = 10
"""Of models alike but for their θ0, the mean figure of so many is held against a baseline's."""


@dataclass(frozen=True)
class Voters:
    """Networks that vote together in one fold.

    Attributes:
        source: whose they are: an arm's network, or a baseline's name.
        team: their places among that source's networks.
    """

    source: str
    team: Team


@dataclass(frozen=True)
class Contender:
    """One row of the tables.

    Attributes:
        name: of the row.
        models: [model][fold] -> who votes. Several models are alike but for their θ0; the row is
            their mean.
        primary: its figures are among those that were named beforehand.
    """

    name: str
    models: tuple[tuple[Voters, ...], ...]
    primary: bool = False


FoldFilms = Mapping[str, Mapping[Split, Films]]
"""What one fold's networks saw, by their source."""


def arm_title(arm: Settings) -> str:
    """How an arm is named in tables."""
    return f"distilled on {NETWORKS[arm.network]}"


def disjoint(plan: Plan, arm: Settings, size: int) -> Contender:
    """The networks trained on one arm's images, in as many disjoint teams as they make."""
    starts = range(0, plan.networks - size + 1, size)
    teams = [Voters(arm.network, tuple(range(start, start + size))) for start in starts]
    models = tuple((team,) * plan.folds for team in teams)
    primary = size == plan.primary and arm == plan.arms[0]
    return Contender(f"{arm_title(arm)}, k = {size}", models, primary)


def distilled(plan: Plan, arms: Sequence[Settings]) -> list[Contender]:
    """The networks trained on distilled images, in teams of each planned size."""
    return [disjoint(plan, arm, size) for arm in arms for size in plan.teams]


def better_norm(
    plan: Plan, baselines: Sequence[Baseline], scores: Sequence[Mapping[str, float]]
) -> list[Contender]:
    """ResNet18 of each size: in each fold with the norm of better validation patch score.

    Chosen fold by fold, since another fold's validation patients may be this one's test patients.

    Args:
        plan: what is measured.
        baselines: those at hand; a size that lacks a norm is left out.
        scores: of each fold, baseline's name -> patch score on validation patients.
    """
    found = []
    for size in plan.sizes:
        rivals = [one for one in baselines if one.per_class == size and one.kind in NORMS]
        if len(rivals) == len(NORMS):
            names = [one.name for one in rivals]
            picks = tuple(Voters(max(names, key=fold.__getitem__), (0,)) for fold in scores)
            name = f"{rivals[0].patches} real, ResNet18 better norm"
            found.append(Contender(name, (picks,), primary=True))
    return found


def as_they_are(plan: Plan, baselines: Sequence[Baseline]) -> list[Contender]:
    """Every baseline by itself."""
    return [Contender(one.title, ((Voters(one.name, (0,)),) * plan.folds,)) for one in baselines]


def verdicts(
    contender: Contender, folds: Sequence[FoldFilms], way: Way, rule: Rule
) -> list[list[Verdicts]]:
    """[model][fold] -> how the fold's test films were judged, each model with ε of its own."""
    return [
        [
            judge(films[one.source]["val"], films[one.source]["test"], one.team, way, rule)
            for one, films in zip(voters, folds, strict=True)
        ]
        for voters in contender.models
    ]
