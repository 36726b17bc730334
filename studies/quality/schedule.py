"""All cells of a plan, in the order to do them in."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from gdshare.method import Settings
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
from studies.quality.plan import NORMS, Baseline, Plan, Pooling, arm_name, seed_of
from studies.runner import Cell, Piece, Result

# CPU-seconds of the full plan; PATCH_S: of a training, for each real patch; SCHEME_S: of
# each way of pooling and θ0.
DISTIL_S = {"convnet": 540.0, "resnet18": 280.0, "convnet-head": 60.0, "resnet18-head": 35.0}
DISTIL_S |= {"scattering-head": 60.0}
SEE_S = {"convnet": 60.0, "resnet18": 20.0, "scattering": 40.0}  # of each network
SCHEME_S, PATCH_S, CROSS_S, CUT_S = 14.0, 0.075, 150.0, 4.0

Cells = dict[str, Cell]
Rank = tuple[int, int]  # the lower, the earlier


def in_fold(fold: int, *words: str) -> str:
    """The name of a cell of a fold: what it does, and on what."""
    return f"fold-{fold}/" + "-".join(words)


def cells_of(plan: Plan, hospitals: Sequence[Hospital]) -> list[Cell]:
    """All cells, what matters most first, so that a study that is stopped early has that.

    First the first arm and the source's baselines, in the midst of which other heads, which cost
    little; then the crossings; then the baselines of the first arm's own kind of network; then the
    other arms.
    """
    films = [hospital.films for hospital in hospitals if hospital.films]
    ranked = [pair for fold in range(plan.folds) for pair in _ranked(plan, fold, hospitals)]
    return films + [cell for _, cell in sorted(ranked, key=lambda pair: pair[0])]


def cut_cell(plan: Plan, fold: int, hospital: Hospital, *words: str) -> Cell:
    """The cell that divides a hospital's patients for a fold and cuts their films."""
    division = Division(hospital.digest, plan.folds, fold, plan.validation, plan.protocol)
    name, cut = in_fold(fold, *words, hospital.name), partial(cut_fold, hospital.table)
    seed, seconds = seed_of(plan.seed, hospital.name, 0), plan.cost(CUT_S)
    return Cell(name, "cohorts", cut, division, seed, hospital.needs, seconds)


def _ranked(plan: Plan, fold: int, hospitals: Sequence[Hospital]) -> Iterator[tuple[Rank, Cell]]:
    """Every cell of a fold with its rank."""
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

    def films(needs: Cells, own: Pooling | Baseline) -> Cell:
        count, baseline = (1, own) if isinstance(own, Baseline) else (own.networks, None)
        showing = Showing(fold, plan.film_stride, count, plan.score_patches, baseline)
        seconds = SEE_S[own.network] * count
        return cell(("films", own.name), "films", see_films, showing, needs, seconds)

    cohorts: Cells = {}
    for hospital in hospitals:
        cohort = cohorts[COHORTS + hospital.name] = cut_cell(plan, fold, hospital, "cohort")
        yield (0, 0), cohort

    def rank(arm: Settings) -> Rank:
        later = (0, 1) if arm.train == "head" else (3, 0)
        return (0, 0) if arm == plan.arms[0] else later

    images: dict[str, Cells] = {}
    for arm in plan.arms:
        own = images[arm_name(arm)] = {}
        for hospital in hospitals:
            words, role = ["distil", arm_name(arm), hospital.name], COHORTS + hospital.name
            settings, needs = plan.settings_of(arm, hospital.name, fold), {role: cohorts[role]}
            seconds, seed = DISTIL_S[arm_name(arm)], settings.seed
            distilled = cell(words, "distil", distil_site, settings, needs, seconds, seed)
            own[IMAGES + hospital.name] = distilled
            yield min(rank(arm), (1, 0)) if crossed else rank(arm), distilled
    for pooling in plan.poolings:
        late = max(rank(pooling.arm), (0, 1) if pooling.beside else (0, 0))
        tried = min(pooling.networks, plan.scheme_networks)
        choosing = Choosing(fold, pooling.schemes, tried, plan.score_patches)
        words, needs = ["scheme", pooling.name], cohorts | images[arm_name(pooling.arm)]
        seconds = SCHEME_S * tried * len(pooling.schemes)
        scheme = cell(words, "distil", choose_scheme, choosing, needs, seconds)
        yield late, scheme
        yield late, films(needs | {SCHEME: scheme}, pooling)

    for baseline in sorted(plan.baselines, key=lambda own: -own.per_class):
        size = plan.sizes.index(baseline.per_class) if plan.smallest_first else 0
        turn, seconds = (0, size) if baseline.kind in NORMS else (2, 0), PATCH_S * baseline.patches
        training = Training(plan.training_of(baseline, fold), baseline.kind)
        words, seed = [baseline.name], training.plan.seed
        trained = cell(words, "real", train_baseline, training, cohorts, seconds, seed)
        yield turn, trained
        yield turn, films(cohorts | {TRAINED: trained}, baseline)

    for hospital in hospitals if crossed else ():
        site, crossing = hospital.name, CrossSite(plan.arms, plan.crossing, plan.score_patches)
        needs = {IMAGES + network: own[IMAGES + site] for network, own in images.items()}
        needs[COHORTS + site] = cohorts[COHORTS + site]
        seed = seed_of(plan.seed, f"cross-{site}", fold)
        yield (1, 0), cell(("cross", site), "cross", cross_site, crossing, needs, CROSS_S, seed)
