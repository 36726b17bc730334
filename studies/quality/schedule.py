"""All cells of a plan, in the order to do them in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from gdshare.method import Settings
from studies.hospitals import Hospital
from studies.quality.cross import CrossSite, cross_site
from studies.quality.distilled import COHORTS, IMAGES, Choosing, choose_scheme, distil_site
from studies.quality.films import SCHEME, TRAINED, Showing, see_films
from studies.quality.folds import Division, cut_fold
from studies.quality.plan import NORMS, Baseline, Plan
from studies.quality.real import Training, train_baseline
from studies.runner import Cell

KINDS = ("cohorts", "distil", "real", "films", "cross")

# CPU-seconds of the full plan: of a distillation, by network; of a choice among ways of pooling; of
# a network that sees all films; of a training, for each real patch; of a crossing.
DISTIL_S = {"convnet": 540.0, "resnet18": 280.0}
SCHEME_S, SEE_S, PATCH_S, CROSS_S = 170.0, 60.0, 0.075, 150.0

Cells = dict[str, Cell]


def in_fold(fold: int, *words: str) -> str:
    """The name of a cell of a fold: what it does, and on what."""
    return f"fold-{fold}/" + "-".join(words)


def cells_of(plan: Plan, hospitals: Sequence[Hospital]) -> list[Cell]:
    """All cells, what matters most first, so that a study that is stopped early has that.

    First come the first arm and the source's baselines, fold after fold: their comparison. Then
    what networks learn from each other's images; then the baselines of the first arm's own kind of
    network; then what the films look like to the other arms' networks.
    """
    folds = [_Fold(plan, number, _cohorts(plan, number, hospitals)) for number in range(plan.folds)]
    images = [{arm: fold.images(arm) for arm in plan.arms} for fold in folds]
    sources = [one for one in plan.baselines if one.kind in NORMS]
    others = [one for one in plan.baselines if one.kind not in NORMS]
    first, *later = plan.arms
    cells = [hospital.films for hospital in hospitals if hospital.films]
    for fold, own in zip(folds, images, strict=True):
        cells += [*fold.cohorts.values(), *own[first].values(), *fold.votes(first, own[first])]
        cells += fold.baselines(sources)
    for fold, own in list(zip(folds, images, strict=True))[: plan.crossing.folds]:
        cells += [cell for arm in later for cell in own[arm].values()] + fold.crossings(own)
    for fold in folds:
        cells += fold.baselines(others)
    for arm in later:
        for fold, own in zip(folds, images, strict=True):
            if fold.number >= plan.crossing.folds:
                cells += own[arm].values()
            cells += fold.votes(arm, own[arm])
    return cells


def _cohorts(plan: Plan, fold: int, hospitals: Sequence[Hospital]) -> Cells:
    """By hospital."""
    return {
        hospital.name: Cell(
            in_fold(fold, "cohort", hospital.name),
            "cohorts",
            partial(cut_fold, hospital.table),
            Division(hospital.digest, plan.folds, fold, plan.validation, plan.protocol),
            plan.seed_of(hospital.name, 0),
            {"films": hospital.films} if hospital.films else {},
            cpu_seconds=plan.cost(4.0),
        )
        for hospital in hospitals
    }


@dataclass(frozen=True)
class _Fold:
    """One fold, and the cells that cut its cohorts, by hospital."""

    plan: Plan
    number: int
    cohorts: Cells

    def images(self, arm: Settings) -> Cells:
        """The distillations of one arm, by hospital."""
        return {site: self._distillation(arm, site) for site in self.cohorts}

    def _distillation(self, arm: Settings, site: str) -> Cell:
        settings = self.plan.settings_of(arm, site, self.number)
        return Cell(
            in_fold(self.number, "distil", arm.network, site),
            "distil",
            distil_site,
            settings,
            settings.seed,
            {COHORTS + site: self.cohorts[site]},
            cpu_seconds=self.plan.cost(DISTIL_S[arm.network]),
            resumable=True,
        )

    def votes(self, arm: Settings, images: Cells) -> list[Cell]:
        """An arm's way of pooling, and what the networks trained so see in the films."""
        plan, needs = self.plan, self._all_cohorts | _by_role(IMAGES, images)
        scheme = Cell(
            in_fold(self.number, "scheme", arm.network),
            "distil",
            choose_scheme,
            Choosing(self.number, plan.schemes, plan.scheme_networks, plan.score_patches),
            plan.seed,
            needs,
            cpu_seconds=plan.cost(SCHEME_S),
        )
        return [scheme, self._films(arm.network, needs | {SCHEME: scheme}, plan.networks)]

    def baselines(self, baselines: Sequence[Baseline]) -> list[Cell]:
        """Trainings on real patches, and what each network sees."""
        cells = []
        # The longest first, so that no process is left alone with one at the end.
        for one in sorted(baselines, key=lambda one: -one.per_class):
            training = self.plan.training_of(one, self.number)
            trained = Cell(
                in_fold(self.number, one.name),
                "real",
                train_baseline,
                Training(training, one.kind),
                training.seed,
                self._all_cohorts,
                cpu_seconds=self.plan.cost(PATCH_S * one.patches),
            )
            needs = self._all_cohorts | {TRAINED: trained}
            cells += [trained, self._films(one.name, needs, 1, one)]
        return cells

    def crossings(self, images: Mapping[Settings, Cells]) -> list[Cell]:
        """What each hospital's images of every arm teach every arm's network."""
        plan = self.plan
        return [
            Cell(
                in_fold(self.number, "cross", site),
                "cross",
                cross_site,
                CrossSite(plan.arms, plan.crossing, plan.score_patches),
                plan.seed_of(f"cross-{site}", self.number),
                {COHORTS + site: cohort}
                | {IMAGES + arm.network: own[site] for arm, own in images.items()},
                cpu_seconds=plan.cost(CROSS_S),
            )
            for site, cohort in self.cohorts.items()
        ]

    @property
    def _all_cohorts(self) -> Cells:
        return _by_role(COHORTS, self.cohorts)

    def _films(
        self, source: str, needs: Cells, networks: int, baseline: Baseline | None = None
    ) -> Cell:
        plan = self.plan
        return Cell(
            in_fold(self.number, "films", source),
            "films",
            see_films,
            Showing(self.number, plan.film_stride, networks, plan.score_patches, baseline),
            plan.seed,
            needs,
            cpu_seconds=plan.cost(SEE_S * networks),
            resumable=True,
        )


def _by_role(role: str, cells: Cells) -> Cells:
    return {role + name: cell for name, cell in cells.items()}
