"""All cells of a plan."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gdshare.protocol import CLASSES
from studies.hospitals import Hospital
from studies.quality.networks import COHORTS, IMAGES, TRAINED, distil_site
from studies.quality.plan import Baseline, arm_name, seed_of
from studies.quality.schedule import DISTIL_S, in_fold
from studies.quality.schedule import cells_of as cells_of_quality
from studies.rivals.cells import (
    FEDAVG,
    Work,
    alone,
    fedavg,
    fedprox,
    heads,
    show_rows,
)
from studies.rivals.distilled import Distilled, send_distilled
from studies.rivals.plan import Plan
from studies.rivals.sending import Sending, send_images
from studies.runner import Cell, Piece, Result

# CPU-seconds of a fold in full: of each row here, of the trainings below.
SEE_S = 33.0


@dataclass(frozen=True)
class Rival:
    """A cell of a fold, by name, and what it needs beside the hospitals' cohorts."""

    name: str
    function: Callable[[Piece, Any], Result]  # gives Rows, see ``studies.rivals.cells``
    how: object
    rows: int
    cpu_seconds: float
    needs: Mapping[str, str] = field(default_factory=dict)  # role -> cell's name within the fold
    distilled: int = 0  # images that each hospital distils for it


def rivals_of(plan: Plan, fold: int) -> list[Rival]:
    """The rivals in the order of the table's rows; another one is a line here."""
    rounds, attacked = len(plan.federated.rounds), fold < plan.attacked
    everything = Sending("all", (plan.per_class * len(CLASSES),), plan.real)
    drawn, medoids = (Sending(kind, plan.patches, plan.images) for kind in ("random", "medoids"))
    matched = Sending("matched", plan.matched, plan.images, plan.matching, attacked)
    return [
        *(
            Rival(
                f"distilled-{count}",
                send_distilled,
                Distilled(count, attacked),
                rows=1,
                cpu_seconds=15,
                distilled=count,
            )
            for count in plan.distilled
        ),
        Rival("alone", alone, plan.real, 2, 330),
        Rival("pooled", send_images, everything, 1, 110),
        Rival("fedavg", fedavg, plan.federated, rounds, 380),
        Rival("fedprox", fedprox, plan.federated, rounds, 280, needs={FEDAVG: "fedavg"}),
        *(Rival(f"heads-{name}", heads, name, 3, 90) for name in ("convnet", "scattering")),
        *(
            Rival(name, send_images, sending, len(sending.counts), seconds)
            for own, seconds in ((drawn, 160), (medoids, 200), (matched, 350))
            for name, sending in (
                (own.kind, own),
                (f"{own.kind}-scattering", replace(own, receiver=None)),
            )
        ),
    ]


def cells_of(plan: Plan, hospitals: Sequence[Hospital]) -> list[Cell]:
    """All cells, each after those that it needs."""
    known = {cell.name: cell for cell in cells_of_quality(plan.shared, hospitals)}
    wanted: dict[str, Cell] = {}

    def add(cell: Cell) -> None:
        for need in cell.needs.values():
            add(need)
        wanted.setdefault(cell.name, cell)

    for fold in range(plan.shared.folds):
        cohorts = {
            COHORTS + own.name: known[in_fold(fold, "cohort", own.name)] for own in hospitals
        }
        baseline = Baseline(plan.per_class * len(hospitals), "convnet")
        patch_seed = plan.shared.training_of(baseline, fold).seed
        distilled = {
            count: {
                IMAGES + own.name: _distilled(plan, fold, own.name, count, cohorts)
                for own in hospitals
            }
            for count in plan.distilled
        }
        for rival in rivals_of(plan, fold):
            work = Work(plan.per_class, plan.validation, patch_seed, rival.how)
            needs = cohorts | {r: known[in_fold(fold, name)] for r, name in rival.needs.items()}
            needs |= distilled.get(rival.distilled, {})
            seed, cost = seed_of(plan.shared.seed, "rivals", fold), plan.shared.cost
            name, seconds = in_fold(fold, rival.name), cost(rival.cpu_seconds)
            known[name] = trained = Cell(name, "train", rival.function, work, seed, needs, seconds)
            seconds = cost(SEE_S * rival.rows)
            name, needs = in_fold(fold, "films", rival.name), cohorts | {TRAINED: trained}
            stride = plan.shared.film_stride
            add(Cell(name, "films", show_rows, stride, seed, needs, seconds, resumable=True))
    return list(wanted.values())


def _distilled(plan: Plan, fold: int, site: str, count: int, cohorts: Mapping[str, Cell]) -> Cell:
    """The cell that distils so many images; of the arm's own number it is that of the claim."""
    settings = plan.shared.settings_of(plan.arm, site, fold).model_copy(update={"images": count})
    words = [arm_name(plan.arm), *([] if count == plan.arm.images else [str(count)]), site]
    role, seconds = COHORTS + site, plan.shared.cost(DISTIL_S[arm_name(plan.arm)] * count / 3)
    return Cell(
        in_fold(fold, "distil", *words),
        "distil",
        distil_site,
        settings,
        settings.seed,
        {role: cohorts[role]},
        seconds,
        resumable=True,
    )
