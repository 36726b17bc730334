"""All pieces of a plan, in the order to do them in."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.pieces.claims import Piece
from gdshare.method import Settings
from studies.quality.baselines import train_real
from studies.quality.cross import cross_site
from studies.quality.distilled import choose_scheme, distil_site
from studies.quality.films import see_distilled, see_real
from studies.quality.fold import Fold
from studies.quality.folds import cut_cohort
from studies.quality.hospitals import Hospital, draw_films
from studies.quality.plan import NORMS, Baseline, Plan

KINDS = ("cohorts", "distil", "real", "films", "cross")


def folds_of(out: Path, plan: Plan, hospitals: Sequence[Hospital]) -> list[Fold]:
    """Every fold of a benchmark."""
    sites = tuple(hospital.name for hospital in hospitals)
    tables = tuple(hospital.table for hospital in hospitals)
    return [Fold(out, plan, number, sites, tables) for number in range(plan.folds)]


def pieces_of(folds: Sequence[Fold], hospitals: Sequence[Hospital]) -> list[Piece]:
    """All pieces, what matters most first, so that a benchmark that is stopped early has that.

    First come the first arm and the source's baselines, fold after fold: their comparison. Then
    what networks learn from each other's images; then the baselines of the first arm's own kind of
    network; then what the films look like to the other arms' networks.
    """
    plan = folds[0].plan
    first, *others = plan.arms
    pieces = [
        Piece(hospital.name, "cohorts", partial(draw_films, plan.phantoms, number))
        for number, hospital in enumerate(hospitals)
        if plan.phantoms
    ]
    sources = [one for one in plan.baselines if one.kind in NORMS]
    rest = [one for one in plan.baselines if one.kind not in NORMS]
    for fold in folds:
        pieces += _cohorts(fold, hospitals) + _distillations(fold, first) + _votes(fold, first)
        pieces += _baselines(fold, sources)
    crossed = folds[: plan.crossing.folds]
    for fold in crossed:
        pieces += [piece for arm in others for piece in _distillations(fold, arm)]
        pieces += _crossings(fold)
    for fold in folds:
        pieces += _baselines(fold, rest)
    for arm in others:
        for fold in folds:
            pieces += [] if fold in crossed else _distillations(fold, arm)
            pieces += _votes(fold, arm)
    return pieces


def _cohorts(fold: Fold, hospitals: Sequence[Hospital]) -> list[Piece]:
    return [
        Piece(
            fold.cohort(hospital.name),
            "cohorts",
            partial(cut_cohort, fold.plan, fold.number, hospital),
            (hospital.name,) if fold.plan.phantoms else (),
        )
        for hospital in hospitals
    ]


def _distillations(fold: Fold, arm: Settings) -> list[Piece]:
    return [
        Piece(
            fold.distil(arm, site),
            "distil",
            partial(distil_site, fold, arm, site),
            _all_cohorts(fold),
        )
        for site in fold.sites
    ]


def _votes(fold: Fold, arm: Settings) -> list[Piece]:
    """An arm's way of pooling, and what the networks trained so see in the films."""
    scheme = fold.scheme(arm)
    distilled = tuple(fold.distil(arm, site) for site in fold.sites)
    return [
        Piece(scheme, "distil", partial(choose_scheme, fold, arm), distilled),
        Piece(fold.films(arm.network), "films", partial(see_distilled, fold, arm), (scheme,)),
    ]


def _baselines(fold: Fold, baselines: Sequence[Baseline]) -> list[Piece]:
    """Trainings on real patches, and what each network sees."""
    pieces = []
    # The longest first, so that no process is left alone with one at the end.
    for one in sorted(baselines, key=lambda one: -one.per_class):
        trained = fold.real(one)
        pieces += [
            Piece(trained, "real", partial(train_real, fold, one), _all_cohorts(fold)),
            Piece(fold.films(one.name), "films", partial(see_real, fold, one), (trained,)),
        ]
    return pieces


def _crossings(fold: Fold) -> list[Piece]:
    return [
        Piece(
            fold.cross(site),
            "cross",
            partial(cross_site, fold, site),
            tuple(fold.distil(arm, site) for arm in fold.plan.arms),
        )
        for site in fold.sites
    ]


def _all_cohorts(fold: Fold) -> tuple[str, ...]:
    """A fold opens all its cohorts at once, so even one hospital's distillation waits for all."""
    return tuple(fold.cohort(site) for site in fold.sites)
