"""All cells of a plan, in the order to do them in."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from studies.hospitals import Division, Hospital, cut_fold
from studies.quality.cross import CrossSite, cross_site
from studies.quality.networks import (
    COHORTS,
    IMAGES,
    SCHEME,
    TRAINED,
    Choosing,
    Showing,
    Training,
    choose_scheme,
    distil_site,
    see_films,
    train_baseline,
)
from studies.quality.plan import NORMS, Baseline, Plan, seed_of
from studies.runner import Cell, Piece, Result

# CPU-seconds of the full plan; PATCH_S: of a training, for each real patch.
DISTIL_S = {"convnet": 540.0, "resnet18": 280.0}
SCHEME_S, SEE_S, PATCH_S, CROSS_S, CUT_S = 170.0, 60.0, 0.075, 150.0, 4.0

Cells = dict[str, Cell]


def in_fold(fold: int, *words: str) -> str:
    """The name of a cell of a fold: what it does, and on what."""
    return f"fold-{fold}/" + "-".join(words)


def cells_of(plan: Plan, hospitals: Sequence[Hospital]) -> list[Cell]:
    """All cells, what matters most first, so that a study that is stopped early has that.

    First the first arm and the source's baselines; then the crossings; then the baselines of the
    first arm's own kind of network; then the other arms.
    """
    films = [hospital.films for hospital in hospitals if hospital.films]
    ranked = [pair for fold in range(plan.folds) for pair in _ranked(plan, fold, hospitals)]
    return films + [cell for _, cell in sorted(ranked, key=lambda pair: pair[0])]


def _ranked(plan: Plan, fold: int, hospitals: Sequence[Hospital]) -> Iterator[tuple[int, Cell]]:
    """Every cell of a fold with its rank: the lower, the earlier."""
    crossed = fold < plan.crossing.folds

    def cell(
        words: Sequence[str],
        kind: str,
        work: Callable[[Piece, Any], Result],
        parameters: object,
        needs: Mapping[str, Cell],
        seconds: float,
        seed: int = plan.seed,
    ) -> Cell:
        name, resumable = in_fold(fold, *words), work in (distil_site, see_films)
        return Cell(name, kind, work, parameters, seed, needs, plan.cost(seconds), resumable)

    def films(needs: Cells, source: str, count: int, baseline: Baseline | None = None) -> Cell:
        showing = Showing(fold, plan.film_stride, count, plan.score_patches, baseline)
        return cell(("films", source), "films", see_films, showing, needs, SEE_S * count)

    cohorts: Cells = {}
    for hospital in hospitals:
        division = Division(hospital.digest, plan.folds, fold, plan.validation, plan.protocol)
        words, cut = ["cohort", hospital.name], partial(cut_fold, hospital.table)
        seed = seed_of(plan.seed, hospital.name, 0)
        cohort = cell(words, "cohorts", cut, division, hospital.needs, CUT_S, seed)
        cohorts[COHORTS + hospital.name] = cohort
        yield 0, cohort

    images: dict[str, Cells] = {}
    for arm in plan.arms:
        early, late = (0, 0) if arm == plan.arms[0] else (1 if crossed else 3, 3)
        own = images[arm.network] = {}
        for hospital in hospitals:
            words, role = ["distil", arm.network, hospital.name], COHORTS + hospital.name
            settings, needs = plan.settings_of(arm, hospital.name, fold), {role: cohorts[role]}
            seconds, seed = DISTIL_S[arm.network], settings.seed
            distilled = cell(words, "distil", distil_site, settings, needs, seconds, seed)
            own[IMAGES + hospital.name] = distilled
            yield early, distilled
        choosing = Choosing(fold, plan.schemes, plan.scheme_networks, plan.score_patches)
        words, needs = ["scheme", arm.network], cohorts | own
        scheme = cell(words, "distil", choose_scheme, choosing, needs, SCHEME_S)
        yield late, scheme
        yield late, films(needs | {SCHEME: scheme}, arm.network, plan.networks)

    # The longest first, so that no process is left alone with one at the end.
    for baseline in sorted(plan.baselines, key=lambda own: -own.per_class):
        rank, seconds = 0 if baseline.kind in NORMS else 2, PATCH_S * baseline.patches
        training = Training(plan.training_of(baseline, fold), baseline.kind)
        words, seed = [baseline.name], training.plan.seed
        trained = cell(words, "real", train_baseline, training, cohorts, seconds, seed)
        yield rank, trained
        yield rank, films(cohorts | {TRAINED: trained}, baseline.name, 1, baseline)

    for hospital in hospitals if crossed else ():
        site, crossing = hospital.name, CrossSite(plan.arms, plan.crossing, plan.score_patches)
        needs = {IMAGES + network: own[IMAGES + site] for network, own in images.items()}
        needs[COHORTS + site] = cohorts[COHORTS + site]
        seed = seed_of(plan.seed, f"cross-{site}", fold)
        yield 1, cell(("cross", site), "cross", cross_site, crossing, needs, CROSS_S, seed)
