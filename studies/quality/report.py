"""From finished pieces to figures: every model, every difference, and what it cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from benchmarks.pieces.claims import Piece
from gdshare.cohort import Split
from gdshare.errors import RunError
from gdshare.metrics import RESAMPLES
from gdshare.seeding import numpy_generator
from studies.quality.choices import Choice, choice
from studies.quality.costs import Spent
from studies.quality.cross import Transfer, transfers
from studies.quality.figures import PRIMARY, READINGS, Films, Merit, Rule, Verdicts, Way, merit
from studies.quality.fold import Fold
from studies.quality.left_out import LeftOut, left_out
from studies.quality.lineup import (
    PAIRED_MODELS,
    Contender,
    FoldFilms,
    as_they_are,
    better_norm,
    disjoint,
    distilled,
    verdicts,
)
from studies.quality.paired import Difference, Float, difference, resampled, weights
from studies.quality.seen import read_seen
from studies.quality.standing import Gap, standing

ALL = "all"
RESAMPLED: tuple[tuple[Split, str], ...] = (
    ("test", "quality-resamples"),
    ("val", "quality-validation-resamples"),
)
"""The splits whose patients are resampled, each from draws of its own."""


@dataclass(frozen=True)
class Line:
    """One model's figures in one reading.

    Attributes:
        name: of the model.
        thresholds: [model][fold] -> ε of each hospital; several models when they differ by θ0
            alone.
        merits: "all" and each site -> of each model, its figures.
        primary: these are the figures that were named beforehand.
    """

    name: str
    thresholds: list[list[list[float]]]
    merits: dict[str, list[Merit]]
    primary: bool


@dataclass(frozen=True)
class Pair:
    """Two models, and the first's figures minus the second's."""

    first: str
    second: str
    difference: Difference
    primary: bool


@dataclass(frozen=True)
class Reading:
    """All figures by one way from windows to films and one rule for ε."""

    way: Way
    rule: Rule
    lines: list[Line]
    pairs: list[Pair]

    @property
    def primary(self) -> bool:
        """It is the one that was named beforehand."""
        return (self.way, self.rule) == PRIMARY


@dataclass(frozen=True)
class Scores:
    """One model's patch scores on test patients: [network][fold]."""

    name: str
    values: list[list[float]]


@dataclass(frozen=True)
class Report:
    """Everything that is told.

    Attributes:
        sites: the hospitals' names.
        team: how many networks vote together in the primary figures.
        readings: films, by every way and rule.
        left_out: validation films, each patient's judged at the ε of the others.
        patches: patch scores on test patients.
        choices: of each fold.
        transfers: every network trained on every other's images; empty while not complete.
        gaps: what is not told, since it is not complete.
        spent: CPU-seconds of every finished piece.
    """

    sites: tuple[str, ...]
    team: int
    readings: list[Reading]
    left_out: list[LeftOut]
    patches: list[Scores]
    choices: list[Choice]
    transfers: list[Transfer]
    gaps: tuple[Gap, ...]
    spent: tuple[Spent, ...]


def measure(folds: Sequence[Fold], pieces: Sequence[Piece], resamples: int = RESAMPLES) -> Report:
    """Read what is finished in all folds and work out the figures.

    Args:
        folds: of the benchmark.
        pieces: all of them.
        resamples: of patients, for the intervals.

    Raises:
        RunError: no arm and no baseline is complete, or a piece is damaged.
    """
    plan, sites = folds[0].plan, folds[0].sites
    now = standing(folds, pieces)
    if not now.sources:
        raise RunError(
            f"{folds[0].out}: no model is complete in all folds, so there is nothing to tell; do "
            "the pieces that are not done by the same command without --only"
        )
    choices = [choice(fold, now.arms, now.baselines) for fold in folds]
    ours = distilled(plan, now.arms)
    theirs = better_norm(plan, now.baselines, [one.real_scores for one in choices])
    theirs += as_they_are(plan, now.baselines)
    films = [{source: _seen(fold, source) for source in now.sources} for fold in folds]
    drawn, drawn_val = (  # the same resamples for every model and every reading
        [
            weights(
                one[now.sources[0]][split],
                numpy_generator(plan.seed, purpose, fold),
                resamples,
            )
            for fold, one in enumerate(films)
        ]
        for split, purpose in RESAMPLED
    )
    readings = [_reading(ours, theirs, films, drawn, sites, *way) for way in READINGS]
    without = left_out([*ours, *theirs], films, drawn_val)
    patches = _patches(folds, [*(disjoint(plan, arm, 1) for arm in now.arms), *theirs])
    found = transfers(folds[: plan.crossing.folds]) if now.crossed else []
    return Report(
        sites, plan.primary, readings, without, patches, choices, found, now.gaps, now.spent
    )


def _seen(fold: Fold, source: str) -> Mapping[Split, Films]:
    return read_seen(fold.out / fold.films(source), fold.diagnoses)


def _reading(
    ours: Sequence[Contender],
    theirs: Sequence[Contender],
    films: Sequence[FoldFilms],
    drawn: Sequence[Float],
    sites: Sequence[str],
    way: Way,
    rule: Rule,
) -> Reading:
    primary = (way, rule) == PRIMARY
    everybody = (*ours, *theirs)
    judged = {one.name: verdicts(one, films, way, rule) for one in everybody}
    lines = [_line(one.name, judged[one.name], sites, primary and one.primary) for one in everybody]
    # Of models alike but for their θ0, the first few stand for all.
    found = {name: resampled(models[:PAIRED_MODELS], drawn) for name, models in judged.items()}
    pairs = [
        Pair(
            first.name,
            second.name,
            difference(found[first.name], found[second.name]),
            primary and first.primary and second.primary,
        )
        for first in ours
        for second in theirs
    ]
    return Reading(way, rule, lines, pairs)


def _line(name: str, models: list[list[Verdicts]], sites: Sequence[str], primary: bool) -> Line:
    merits = {ALL: [merit(folds) for folds in models]}
    for index, site in enumerate(sites):
        merits[site] = [merit([one.at(index) for one in folds]) for folds in models]
    thresholds = [
        [[_epsilon(one.at(index)) for index in range(len(sites))] for one in folds]
        for folds in models
    ]
    return Line(name, thresholds, merits, primary)


def _epsilon(verdicts: Verdicts) -> float:
    """Of one hospital's test films, of which each fold has some."""
    return float(verdicts.threshold[0])


def _patches(folds: Sequence[Fold], contenders: Sequence[Contender]) -> list[Scores]:
    """Of contenders whose networks stand alone."""
    return [
        Scores(
            one.name,
            [
                [
                    _patch_scores(fold, voter.source)[voter.team[0]]
                    for fold, voter in zip(folds, voters, strict=True)
                ]
                for voters in one.models
            ],
        )
        for one in contenders
    ]


def _patch_scores(fold: Fold, source: str) -> list[float]:
    told = fold.facts(fold.films(source))["patch_scores"]
    return TypeAdapter(list[float]).validate_python(told)
