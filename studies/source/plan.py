"""What is measured, and all cells, in the order to do them in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gdshare.method import Settings
from studies.hospitals import Hospital
from studies.quality.networks import COHORTS, IMAGES, TRAINED, distil_site
from studies.quality.plan import Baseline, arm_name, seed_of
from studies.quality.schedule import DISTIL_S, Cells, in_fold
from studies.rivals import plan as rivals
from studies.rivals.cells import Work, show_rows
from studies.rivals.distilled import Distilled, send_distilled
from studies.rivals.schedule import SEE_S, cells_of
from studies.runner import Cell
from studies.source.runs import read_runs

TEACH_S = 15.0  # CPU-seconds of a network from all hospitals' images


@dataclass(frozen=True, eq=False)
class Variant:
    """The defaults but for some options; hospitals distil from the same seeds as by the defaults.

    ``films``: whether films are shown to what it trains; else there are patch scores alone.
    """

    name: str  # in the names of cells
    options: Mapping[str, object] = field(default_factory=dict)
    films: bool = False

    @property
    def title(self) -> str:
        """What a user would type."""
        words = (f"--{name.replace('_', '-')} {value}" for name, value in self.options.items())
        return " ".join(words) or "defaults"


@dataclass(frozen=True)
class Plan:
    """Everything that decides a run.

    ``shared`` is the plan of ``studies.rivals``, which has the defaults with several numbers of
    images; its plan of ``studies.quality`` has ResNet18 on real patches.
    """

    shared: rivals.Plan
    variants: tuple[Variant, ...]

    def settings(self, variant: Variant, seed: int = 0) -> Settings:
        """Of a variant's distillations."""
        options = {"seed": seed, **variant.options}
        return Settings.model_validate(self.shared.arm.model_dump() | options)


DEFAULTS = Variant("soft")
VARIANTS = (
    Variant("hard", {"labels": "hard"}, films=True),
    Variant("images-6", {"images": 6}, films=True),
    Variant("steps-9", {"epochs": 3, "steps": 3}),
    Variant("scale-2", {"label_scale": 2.0}),
    Variant("steps-3", {"steps": 3}),
    Variant("scale-1", {"label_scale": 1.0}),
)
FULL = Plan(rivals.FULL, VARIANTS)
QUICK = Plan(rivals.QUICK, VARIANTS[:3])


def source_cells(plan: Plan, hospitals: Sequence[Hospital]) -> list[Cell]:
    """Cohorts and the images of the defaults; then variant by variant, each in every fold."""
    known = {cell.name: cell for cell in cells_of(plan.shared, hospitals)}
    cells = [hospital.films for hospital in hospitals if hospital.films]
    for variant in (DEFAULTS, *plan.variants):
        for fold in range(plan.shared.shared.folds):
            cells += _variant_cells(plan, variant, fold, hospitals, known)
    return list({cell.name: cell for cell in cells}.values())


def _variant_cells(
    plan: Plan, variant: Variant, fold: int, hospitals: Sequence[Hospital], known: Cells
) -> Iterator[Cell]:
    shared, cost = plan.shared.shared, plan.shared.shared.cost
    seed, films_s = seed_of(shared.seed, "source", fold), cost(SEE_S)
    cohorts = {COHORTS + own.name: known[in_fold(fold, "cohort", own.name)] for own in hospitals}
    yield from cohorts.values()
    images: Cells = {}
    for hospital in hospitals:
        base = known[in_fold(fold, "distil", arm_name(plan.shared.arm), hospital.name)]
        images[IMAGES + hospital.name] = _distilled(plan, variant, fold, hospital.name, base)
    yield from images.values()
    yield Cell(in_fold(fold, "runs", variant.name), "distil", read_runs, None, seed, images)
    if variant.films:
        baseline = Baseline(plan.shared.per_class * len(hospitals), "convnet")
        patch_seed = shared.training_of(baseline, fold).seed
        how = Distilled(plan.settings(variant).images, attacked=False)
        work = Work(plan.shared.per_class, plan.shared.validation, patch_seed, how)
        name = in_fold(fold, "taught", variant.name)
        taught = Cell(name, "films", send_distilled, work, seed, cohorts | images, cost(TEACH_S))
        yield taught
        name, needs = in_fold(fold, "films", variant.name), cohorts | {TRAINED: taught}
        stride = shared.film_stride
        yield Cell(name, "films", show_rows, stride, seed, needs, films_s, resumable=True)


def _distilled(plan: Plan, variant: Variant, fold: int, site: str, base: Cell) -> Cell:
    """The cell that distils a variant's images at a hospital; of the defaults it is the claim's."""
    if not variant.options:
        return base
    settings = plan.settings(variant, base.seed)
    seconds = plan.shared.shared.cost(DISTIL_S[arm_name(settings)])
    name, needs = in_fold(fold, "distil", variant.name, site), base.needs
    return Cell(name, "distil", distil_site, settings, base.seed, needs, seconds, resumable=True)
