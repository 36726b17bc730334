"""All cells of a plan, in the order to do them in."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from studies.quality.plan import NORMS, Baseline, Plan
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
    ranked = [
        pair for number in range(plan.folds) for pair in _Fold(plan, number).ranked(hospitals)
    ]
    return films + [cell for _, cell in sorted(ranked, key=lambda pair: pair[0])]


@dataclass(frozen=True)
class _Fold:
    plan: Plan
    number: int

    def ranked(self, hospitals: Sequence[Hospital]) -> Iterator[tuple[int, Cell]]:
        """Every cell with its rank: the lower, the earlier."""
        plan, crossed = self.plan, self.number < self.plan.crossing.folds
        cohorts = {COHORTS + one.name: self._cohort(one) for one in hospitals}
        yield from ((0, cell) for cell in cohorts.values())
        images = {str(arm.network): self._images(arm, cohorts) for arm in plan.arms}
        for arm in plan.arms:
            first = arm == plan.arms[0]
            early, late = (0, 0) if first else (1 if crossed else 3, 3)
            yield from ((early, cell) for cell in images[arm.network].values())
            yield from ((late, cell) for cell in self._votes(arm, cohorts | images[arm.network]))
        # The longest first, so that no process is left alone with one at the end.
        for one in sorted(plan.baselines, key=lambda one: -one.per_class):
            rank = 0 if one.kind in NORMS else 2
            yield from ((rank, cell) for cell in self._baseline(one, cohorts))
        for hospital in hospitals if crossed else ():
            yield 1, self._crossing(hospital.name, cohorts, images)

    def _cell(
        self,
        words: Sequence[str],
        kind: str,
        function: Callable[[Piece, Any], Result],
        parameters: object,
        seed: int,
        needs: Cells,
        seconds: float,
    ) -> Cell:
        name, seconds = in_fold(self.number, *words), self.plan.cost(seconds)
        resumable = function in (distil_site, see_films)
        return Cell(name, kind, function, parameters, seed, needs, seconds, resumable)

    def _cohort(self, one: Hospital) -> Cell:
        plan = self.plan
        division = Division(one.digest, plan.folds, self.number, plan.validation, plan.protocol)
        function, seed = partial(cut_fold, one.table), plan.seed_of(one.name, 0)
        needs = {"films": one.films} if one.films else {}
        words = ("cohort", one.name)
        return self._cell(words, "cohorts", function, division, seed, needs, CUT_S)

    def _images(self, arm: Settings, cohorts: Cells) -> Cells:
        images, seconds = {}, DISTIL_S[arm.network]
        for role, cohort in cohorts.items():
            site = role.removeprefix(COHORTS)
            settings = self.plan.settings_of(arm, site, self.number)
            words, seed = ("distil", arm.network, site), settings.seed
            cell = self._cell(words, "distil", distil_site, settings, seed, {role: cohort}, seconds)
            images[IMAGES + site] = cell
        return images

    def _votes(self, arm: Settings, needs: Cells) -> list[Cell]:
        plan, words = self.plan, ("scheme", arm.network)
        choosing = Choosing(self.number, plan.schemes, plan.scheme_networks, plan.score_patches)
        scheme = self._cell(words, "distil", choose_scheme, choosing, plan.seed, needs, SCHEME_S)
        return [scheme, self._films(arm.network, needs | {SCHEME: scheme}, plan.networks)]

    def _baseline(self, one: Baseline, cohorts: Cells) -> list[Cell]:
        training = Training(self.plan.training_of(one, self.number), one.kind)
        seed, seconds = training.plan.seed, PATCH_S * one.patches
        trained = self._cell([one.name], "real", train_baseline, training, seed, cohorts, seconds)
        return [trained, self._films(one.name, cohorts | {TRAINED: trained}, 1, one)]

    def _crossing(self, site: str, cohorts: Cells, images: Mapping[str, Cells]) -> Cell:
        plan, words = self.plan, ("cross", site)
        needs = {IMAGES + network: own[IMAGES + site] for network, own in images.items()}
        needs[COHORTS + site] = cohorts[COHORTS + site]
        crossing = CrossSite(plan.arms, plan.crossing, plan.score_patches)
        seed = plan.seed_of(f"cross-{site}", self.number)
        return self._cell(words, "cross", cross_site, crossing, seed, needs, CROSS_S)

    def _films(
        self, source: str, needs: Cells, networks: int, baseline: Baseline | None = None
    ) -> Cell:
        plan, words, seconds = self.plan, ("films", source), SEE_S * networks
        showing = Showing(self.number, plan.film_stride, networks, plan.score_patches, baseline)
        return self._cell(words, "films", see_films, showing, plan.seed, needs, seconds)
