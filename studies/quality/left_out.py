"""One ε for all hospitals, or one of each hospital's own? Told by validation patients alone.

Each validation patient is left out in turn, and judged at the ε that the other patients' films
give. No test patient has a part in it, so a rule for ε may be chosen by these figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gdshare.errors import RunError
from studies.quality.figures import Films, Merit, Rule, Team, Verdicts, judge, merit, ratios
from studies.quality.lineup import PAIRED_MODELS, Contender, FoldFilms
from studies.quality.paired import Difference, Float, difference, resampled

COMMON: Rule = "coarse"
OWN: Rule = "own"


@dataclass(frozen=True)
class LeftOut:
    """One model on the validation films of all folds, by votes.

    Attributes:
        name: of the model.
        common, own: of each model, its figures at one ε for all hospitals, and at each hospital's
            own; several models when they differ by θ0 alone.
        gain: figures at each hospital's own ε minus those at the common one.
    """

    name: str
    common: list[Merit]
    own: list[Merit]
    gain: Difference


def left_out(
    contenders: Sequence[Contender], folds: Sequence[FoldFilms], drawn: Sequence[Float]
) -> list[LeftOut]:
    """Every contender by both rules.

    Args:
        contenders: the rows.
        folds: what each fold's networks saw.
        drawn: of each fold, ``paired.weights`` of its validation films.

    Raises:
        RunError: see ``verdicts_without_oneself``.
    """
    return [_left_out(one, folds, drawn) for one in contenders]


def verdicts_without_oneself(val: Films, team: Team, rule: Rule) -> Verdicts:
    """Judge a fold's validation films by votes, each patient's at the ε of the other patients.

    Raises:
        RunError: a hospital has one validation patient, hence no other to take its ε from.
    """
    ratio, indeterminate = ratios(val, team, "votes")
    epsilon = np.empty(len(ratio))
    for site, patient in sorted(set(zip(val.site.tolist(), val.patient.tolist(), strict=True))):
        here = (val.site == site) & (val.patient == patient)
        if (val.site == site).sum() == here.sum():
            raise RunError(
                "a hospital has one validation patient in a fold, so that none is left to fix ε "
                "by; give the benchmark more films"
            )
        found = judge(val.where(~here), val.where(here), team, "votes", rule)
        epsilon[here] = found.threshold
    return Verdicts(val.site, val.patient, val.positive, ratio, indeterminate, epsilon)


def _left_out(contender: Contender, folds: Sequence[FoldFilms], drawn: Sequence[Float]) -> LeftOut:
    common, own = (
        [
            [
                verdicts_without_oneself(films[one.source]["val"], one.team, rule)
                for one, films in zip(voters, folds, strict=True)
            ]
            for voters in contender.models
        ]
        for rule in (COMMON, OWN)
    )
    first = slice(PAIRED_MODELS)  # as in the readings: of models alike but for θ0, the first few
    return LeftOut(
        contender.name,
        [merit(one) for one in common],
        [merit(one) for one in own],
        difference(resampled(own[first], drawn), resampled(common[first], drawn)),
    )
