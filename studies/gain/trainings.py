"""A hospital's trainings on few of its own patients, and what their networks see in its films."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from gdshare.cohort import Cohort, Patches, Split
from gdshare.errors import CohortError
from gdshare.networks import build
from gdshare.pooling import Contribution, Scheme, train_pooled
from gdshare.protocol import Protocol
from gdshare.seeding import numpy_generator
from gdshare.storage import write_json
from gdshare.training import TrainingPlan, train_on_real
from gdshare.training_folder import Use
from gdshare.transfer import transfer_from
from studies.networks import Network
from studies.quality.figures import Team, threshold
from studies.quality.networks import TRAINED, cohorts_of, contributions_of, films_of, show
from studies.runner import Facts, Piece, Result

ALONE, START, MIX = "own films alone", "started from the others' images", "mixed with them"
WAYS: dict[str, Use | None] = {ALONE: None, START: "start", MIX: "mix"}
OTHERS = "others' model"
EVERYONE = "model of all hospitals, the own one among them"
CHOSEN = "chosen.json"
TEAMS = TypeAdapter(dict[str, list[tuple[int, ...]]])  # contender -> of each seed, its networks


@dataclass(frozen=True)
class Training:
    """One hospital's trainings on so many of its own patients; the cell's seed chooses them."""

    fold: int
    patients: int
    plan: TrainingPlan
    scheme: Scheme


@dataclass(frozen=True)
class Showing:
    fold: int
    site: str  # whose films are shown
    stride: int  # px between the windows of a film
    seeds: int
    team: int
    scheme: Scheme


@dataclass(frozen=True)
class FewPatients(Cohort):
    """A cohort of which only some training patients are at hand."""

    patients: frozenset[str]

    def patches(self, split: Split) -> Patches:
        """Those of training, of these patients alone."""
        whole = super().patches(split)
        if split != "train":
            return whole
        ours = np.array([film.patient in self.patients for film in self.films])
        rows = np.flatnonzero(ours[whole.films])
        return Patches(whole.pixels[rows], whole.labels[rows], whole.films[rows])


def few_patients(cohort: Cohort, count: int, seed: int) -> FewPatients:
    """So many training patients, half of each diagnosis; more of one seed include the fewer."""
    chosen: list[str] = []
    for positive, share in ((False, -(-count // 2)), (True, count // 2)):
        films = [film for film in cohort.films_of("train") if film.positive is positive]
        patients = sorted({film.patient for film in films})
        if len(patients) < share:
            what = f"has {len(patients)} training patients of a diagnosis, and {share} are needed"
            raise CohortError(what, cohort.path, "choose fewer patients")
        order = numpy_generator(seed, f"gain-patients-{positive}").permutation(len(patients))
        chosen += [patients[place] for place in order[:share]]
    return FewPatients(cohort.path, cohort.index, frozenset(chosen))


def train_ways(piece: Piece, training: Training) -> Result:
    """The cell that trains on few own patients, way by way."""
    (cohort,) = cohorts_of(piece)
    few, brought = few_patients(cohort, training.patients, piece.seed), contributions_of(piece)
    facts: Facts = {}
    for way, use in WAYS.items():
        folder = piece.folder / (use or "alone")
        if not (folder / CHOSEN).exists():
            transfer = None
            if use:
                scheme, protocol = training.scheme, cohort.protocol
                transfer = transfer_from(brought, protocol, use, scheme, piece.seed)
            real = train_on_real([few], training.plan, transfer=transfer)
            folder.mkdir(exist_ok=True)
            Network.of(real.model).write(folder)
            chosen = {"patch_score": real.score, "others_score": real.others_score}
            chosen |= {"penalty": real.penalty, "weight": real.weight, "patches": real.patches}
            write_json(folder / CHOSEN, chosen)
        facts[way] = json.loads((folder / CHOSEN).read_bytes())
        piece.keep()
    return Result(facts)


def show_site(piece: Piece, showing: Showing) -> Result:
    """The cell that shows a hospital's validation and test films to every network."""
    cohorts, brought = cohorts_of(piece), contributions_of(piece)
    others = [part for part in brought if part.site != showing.site]
    protocol, networks, teams = cohorts[0].protocol, list[Network](), dict[str, list[Team]]()

    def add(name: str, team: Sequence[Network]) -> None:
        teams.setdefault(name, []).append(tuple(range(len(networks), len(networks) + len(team))))
        networks.extend(team)

    module = build(brought[0].method.network, protocol.side)
    for role, need in piece.needs.items():
        if role.startswith(TRAINED):
            count = role.split("-")[1]
            for way, use in WAYS.items():
                add(f"{way}/{count}", [Network.read(need.folder / (use or "alone"), module)])
    for seed in range(showing.seeds):
        add(f"{START}/0", _pooled(others, protocol, showing.scheme, seed, 1))
    add(OTHERS, _pooled(others, protocol, showing.scheme, piece.seed, showing.team))
    add(EVERYONE, _pooled(brought, protocol, showing.scheme, piece.seed, showing.team))
    seen = show(piece, cohorts, showing.stride, lambda site: networks)
    return replace(seen, facts={**seen.facts, "teams": TEAMS.dump_python(teams, mode="json")})


def fix_epsilon(piece: Piece, showing: Showing) -> Result:
    """The cell that fixes ε for a hospital without own films, on others' validation films."""
    cohorts, brought = cohorts_of(piece), contributions_of(piece)
    networks = _pooled(brought, cohorts[0].protocol, showing.scheme, piece.seed, showing.team)
    seen = show(piece, cohorts, showing.stride, lambda site: networks, splits=["val"])
    films = films_of(seen, [_diagnoses(own) for own in cohorts])["val"]
    return Result({"epsilon": threshold(films, tuple(range(len(networks))), "votes", "coarse")})


def _diagnoses(cohort: Cohort) -> npt.NDArray[np.bool_]:
    """Bool [patients], in the order in which they are numbered."""
    patients = {film.patient: film.positive for film in cohort.films}
    return np.array([patients[name] for name in sorted(patients)], np.bool_)


def _pooled(
    brought: Sequence[Contribution], protocol: Protocol, scheme: Scheme, seed: int, count: int
) -> list[Network]:
    """The networks of a round's model."""
    model = train_pooled(brought, protocol, scheme, seed, count)
    module = build(model.network, protocol.side)
    return [Network(module, parameters) for parameters in model.ensemble]
