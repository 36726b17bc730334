"""All cells of a plan."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gdshare.protocol import CLASSES
from studies.hospitals import Hospital
from studies.quality.networks import COHORTS, TRAINED
from studies.quality.plan import Baseline, seed_of
from studies.quality.schedule import cells_of as cells_of_quality
from studies.quality.schedule import in_fold
from studies.rivals.cells import (
    FEDAVG,
    Work,
    alone,
    fedavg,
    fedprox,
    heads,
    show_rows,
)
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


def rivals_of(plan: Plan, fold: int) -> list[Rival]:
    """The rivals in the order of the table's rows; another one is a line here."""
    rounds, attacked = len(plan.federated.rounds), fold < plan.attacked
    everything = Sending("all", (plan.per_class * len(CLASSES),), plan.real)
    drawn, medoids = (Sending(kind, plan.patches, plan.images) for kind in ("random", "medoids"))
    matched = Sending("matched", plan.matched, plan.images, plan.matching, attacked)
    return [
        Rival("alone", alone, plan.real, 2, 330),
        Rival("pooled", send_images, everything, 1, 110),
        Rival("fedavg", fedavg, plan.federated, rounds, 380),
        Rival("fedprox", fedprox, plan.federated, rounds, 280, {FEDAVG: "fedavg"}),
        Rival("heads", heads, plan.penalties, 2, 40),
        Rival("random", send_images, drawn, len(drawn.counts), 160),
        Rival("medoids", send_images, medoids, len(medoids.counts), 200),
        Rival("matched", send_images, matched, len(matched.counts), 350),
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
        for rival in rivals_of(plan, fold):
            work = Work(plan.per_class, plan.validation, patch_seed, rival.how)
            needs = cohorts | {r: known[in_fold(fold, name)] for r, name in rival.needs.items()}
            seed, cost = seed_of(plan.shared.seed, "rivals", fold), plan.shared.cost
            name, seconds = in_fold(fold, rival.name), cost(rival.cpu_seconds)
            known[name] = trained = Cell(name, "train", rival.function, work, seed, needs, seconds)
            seconds = cost(SEE_S * rival.rows)
            name, needs = in_fold(fold, "films", rival.name), cohorts | {TRAINED: trained}
            stride = plan.shared.film_stride
            add(Cell(name, "films", show_rows, stride, seed, needs, seconds, resumable=True))
    return list(wanted.values())
