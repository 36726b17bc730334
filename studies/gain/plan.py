"""What is measured, and all cells, in the order to do them in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from gdshare.pooling import Scheme
from gdshare.protocol import CLASSES
from gdshare.training import TrainingPlan
from studies.claim import plan as claim
from studies.gain.trainings import (
    Showing,
    Training,
    fix_epsilon,
    show_site,
    train_ways,
)
from studies.hospitals import Hospital, Phantoms
from studies.quality import plan as quality
from studies.quality.networks import COHORTS, IMAGES, TRAINED
from studies.quality.schedule import Cells, cells_of, in_fold
from studies.runner import Cell

KIND = "gain"

# CPU-seconds of the full plan: of a training, all ways together, and for each patch; of a film.
TRAINING_S, PATCH_S, FILM_S, VALIDATION_FILMS, FILMS = 45.0, 0.009, 0.7, 45, 66


@dataclass(frozen=True)
class Plan:
    """What is measured; of the distillation plan, the first arm's images in its first folds."""

    quality: quality.Plan
    training: TrainingPlan  # its network and seed are replaced; patches of each class, at most
    patients: tuple[int, ...] = (5, 10, 20, 50)  # own training patients; subsets are nested
    seeds: int = 1  # choices of patients
    folds: int = 3
    team: int = 1  # networks that vote together in a round's model; of an announced θ0 one
    scheme: Scheme = "average"
    per_patient: int = 20  # real patches of each class for each own patient

    def training_of(self, patients: int, seed: int) -> TrainingPlan:
        """Of so many own patients."""
        per_class = min(self.per_patient * patients, self.training.per_class)
        network = self.quality.arms[0].network
        return replace(self.training, network=network, seed=seed, per_class=per_class)


FULL = Plan(claim.FULL.shared, TrainingPlan(per_class=600))
FAST = Plan(
    replace(claim.QUICK.shared, phantoms=Phantoms(hospitals=3)),
    TrainingPlan(per_class=15),
    patients=(2, 4),
    folds=1,
)


def gain_cells(plan: Plan, hospitals: Sequence[Hospital]) -> list[Cell]:
    """Films, cohorts and distillations of the folds; then, hospital by hospital, what it gains."""
    known = {cell.name: cell for cell in cells_of(plan.quality, hospitals)}
    sites, arm = [hospital.name for hospital in hospitals], plan.quality.arms[0]
    cells = [hospital.films for hospital in hospitals if hospital.films]
    for fold in range(plan.folds):
        cohorts = {COHORTS + s: known[in_fold(fold, "cohort", s)] for s in sites}
        images = {
            IMAGES + s: known[in_fold(fold, "distil", quality.arm_name(arm), s)] for s in sites
        }
        cells += [*cohorts.values(), *images.values()]
        for site in sites:
            cells += _site_cells(plan, fold, site, cohorts, images)
    return cells


def _site_cells(plan: Plan, fold: int, site: str, cohorts: Cells, images: Cells) -> list[Cell]:
    own = {COHORTS + site: cohorts[COHORTS + site]}
    peers = {role: cell for role, cell in cohorts.items() if role not in own}
    others = {role: cell for role, cell in images.items() if role != IMAGES + site}
    cost, seed = plan.quality.cost, plan.quality.seed
    trained = {}
    for count, number in product(plan.patients, range(plan.seeds)):
        name = in_fold(fold, KIND, site, str(count), str(number))
        training = plan.training_of(count, number)
        parameters, needs = Training(fold, count, training, plan.scheme), own | others
        seconds = cost(TRAINING_S + PATCH_S * len(CLASSES) * training.per_class)
        trained[f"{TRAINED}-{count}-{number}"] = Cell(
            name, KIND, train_ways, parameters, number, needs, seconds, resumable=True
        )
    stride = plan.quality.film_stride
    showing = Showing(fold, site, stride, plan.seeds, plan.team, plan.scheme)
    needs, film_s = own | images | trained, cost(FILM_S * FILMS)
    name, epsilon_s = in_fold(fold, KIND, site), cost(FILM_S * VALIDATION_FILMS)
    epsilon = f"{name}-epsilon"
    return [
        *trained.values(),
        Cell(f"{name}-films", KIND, show_site, showing, seed, needs, film_s, resumable=True),
        Cell(epsilon, KIND, fix_epsilon, showing, seed, peers | others, epsilon_s, resumable=True),
    ]
