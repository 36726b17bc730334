"""What does a guarantee for each patient cost? Images distilled at several ε, against none.

Each hospital of tb_cxr distils alone, as ``gdshare distill --epsilon`` does. Noise is drawn anew
for each seed, from the operating system, so a repeat gives other figures. Beside them: the same
statistic without noise, the defaults without any guarantee on the same patches, and least squares
on these patches, which sends a layer and no image. Patch score and AUC are of test patients, on up
to 64 windows of class I and 64 of the organ of each film. The constants of the mechanism were
chosen on validation patients of these hospitals, which the stated ε does not cover.

Beside the hospitals stand the images of PneumoniaMNIST, each a patient with a single window and no
class I, which is drawn. Their score is of N and P alone, where guessing gives 0.5.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.engine.tasks import PNEUMONIA, PNEUMONIA_SIDE, data_digest, pneumonia_split
from gdshare.cohort import Cohort, open_cohort
from gdshare.cohort.split import Split
from gdshare.distill.head import Body, Head, train_head
from gdshare.distill.journal import Journal
from gdshare.distill.loop import conclude, train_step
from gdshare.distill.score import tensors_of
from gdshare.distill.state import initial_state
from gdshare.distill.workers import ALONE
from gdshare.exact_noise import rounded_gaussian
from gdshare.last_layer import one_hot, solve
from gdshare.method import Settings
from gdshare.patch_tensors import as_tensors
from gdshare.private.account import Budget, spend
from gdshare.private.reference import Drawing, Reference, draw_reference
from gdshare.private.run import problem_on, scattering_body
from gdshare.private.statistic import PatientMeans, Shape, ask, estimate
from gdshare.private.surrogates import surrogates
from gdshare.protocol import PatchClass, Protocol
from gdshare.storage import write_bytes
from studies.command import Study
from studies.hospitals import COHORT, Hospital, Phantoms, cohort_cell, hospitals_of
from studies.pneumonia import SYNTHETIC, draw_images
from studies.report import Report
from studies.runner import Cell, Piece, Result, Store, read_arrays, write_arrays
from studies.tables import Row, Table, Value, deviation, mean
from studies.votes import judge_votes, spread_rows

READ, NOISE_FREE, DEFAULTS = "read", "without noise", "no guarantee, defaults"
SQUARES = "least squares on patches"
IMAGES = "pneumoniamnist"
SPLITS: tuple[Split, ...] = ("train", "val", "test")
MEANS, FEATURES = "means.npz", "features.npz"


@dataclass(frozen=True)
class Plan:
    """Everything that decides the study but the noise."""

    protocol: Protocol
    shape: Shape
    drawing: Drawing
    settings: Settings
    epsilons: tuple[float, ...] = (1.0, 3.0, 8.0, 16.0)
    delta: float = 1e-5
    seeds: int = 5
    phantoms: Phantoms | None = None
    images: Shape = field(default_factory=lambda: Shape(fine_radius=6.0, windows=1))
    synthetic: int | None = None  # so many drawn images of each class and split, not real ones


FULL = Plan(
    Protocol(patch=75, stride=13, side=32, tone="none"),
    Shape(),
    Drawing(),
    Settings(outer_steps=100, score_every=100),
)
QUICK = Plan(
    Protocol(patch=40, stride=20, side=16, tone="none"),
    Shape(dimension=4, windows=8, fewest=2),
    Drawing(films=1, windows=20),
    Settings(outer_steps=4, score_every=2),
    epsilons=(8.0,),
    delta=1e-3,
    seeds=2,
    phantoms=Phantoms(hospitals=1, per_diagnosis=10),
    images=Shape(dimension=4, windows=1, fewest=2),
    synthetic=12,
)


@dataclass(frozen=True)
class Reading:
    """What a hospital's patients and the drawn films are read with."""

    protocol: Protocol
    shape: Shape
    drawing: Drawing


@dataclass(frozen=True)
class ImagesReading:
    """What images of single windows are read with."""

    reading: Reading
    images: str | None  # SHA-256 of the real images' file


@dataclass(frozen=True)
class Way:
    """One way of distilling: ε at δ; 0: without noise; none: from the patches themselves."""

    settings: Settings
    reading: Reading
    epsilon: float | None
    delta: float


@dataclass(frozen=True)
class Films:
    """A split's films: conditioned features of windows, their classes, films and diagnoses."""

    features: Tensor  # float32 [n, F]
    classes: Tensor  # int64 [n]
    films: Tensor  # int64 [n]

    def judge(self, head: Head) -> tuple[float, float]:
        """Patch score, and AUC of films by the share of P among votes for N or P."""
        logits = head.logits(self.features)
        if not self.has_class_i:
            logits[:, PatchClass.I] = -torch.inf
        return judge_votes(logits.argmax(1), self.classes, self.films)

    @property
    def has_class_i(self) -> bool:
        """Whether any window is of class I."""
        return bool((self.classes == PatchClass.I).any())


def read_hospital(piece: Piece, reading: Reading) -> Result:
    """The cell that computes features once: of patients, of films to judge by, of drawn ones."""
    cohort = open_cohort(piece.needs["cohort"].folder / COHORT)
    body = scattering_body(Settings(), reading.protocol)
    films = {split: _films(cohort, body, split, reading.shape.windows) for split in SPLITS}
    return _keep_reading(piece, reading, body, films)


def read_images(file: Path, piece: Piece, asked: ImagesReading) -> Result:
    """The same of PneumoniaMNIST: every image is a film, and a patient."""
    body = scattering_body(Settings(), asked.reading.protocol)
    films = dict[Split, Films]()
    for split in SPLITS:
        x, classes = pneumonia_split(file, split)
        features = torch.cat([body.features_of(part) for part in torch.split(x, 512)])
        films[split] = Films(features, classes + PatchClass.N, torch.arange(len(classes)))
    return _keep_reading(piece, asked.reading, body, films)


def _keep_reading(
    piece: Piece, reading: Reading, body: Body, films: Mapping[Split, Films]
) -> Result:
    reference = draw_reference(
        reading.protocol, body, reading.shape.dimension, drawing=reading.drawing
    )
    names = ("projection", "lift", "centres", "background", "scatter")
    write_arrays(piece.folder / MEANS, {name: getattr(reference, name) for name in names})
    write_bytes(piece.folder / "reference", reference.sha256.encode())
    arrays = {
        f"{split}-{name}": getattr(own, name).numpy()
        for split, own in films.items()
        for name in ("features", "classes", "films")
    }
    with (piece.folder / FEATURES).open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)
    own, seen = films["train"], films["val"]
    solved = solve(
        (own.features, one_hot(own.classes)),
        (seen.features, one_hot(seen.classes)),
        Head.zeros(body),
    )
    score, area = films["test"].judge(solved.head)
    return Result({"val": solved.score, "test": score, "auc": area})


def _films(cohort: Cohort, body: Body, split: Split, windows: int) -> Films:
    patches, parts = cohort.patches(split), list[Tensor]()
    rows = spread_rows(patches, windows)
    for part in np.array_split(rows, max(1, len(rows) // 512)):
        parts.append(body.features_of(as_tensors(patches, part, cohort.protocol)[0]))
    classes = torch.from_numpy(patches.labels[rows].astype(np.int64))
    return Films(torch.cat(parts), classes, torch.from_numpy(patches.films[rows].astype(np.int64)))


def distil_hospital(piece: Piece, way: Way) -> Result:
    """The cell of one way and seed."""
    reading, settings = way.reading, way.settings.model_copy(update={"seed": piece.seed})
    folder = piece.needs[READ].folder
    body = scattering_body(settings, reading.protocol)
    stored = read_arrays(folder / FEATURES)
    films = {
        split: Films(
            *(
                torch.from_numpy(stored[f"{split}-{name}"])
                for name in ("features", "classes", "films")
            )
        )
        for split in SPLITS
    }
    arrays = read_arrays(folder / MEANS)
    reference = Reference(**arrays, sha256=(folder / "reference").read_text())
    if way.epsilon is None:
        own = _with_class_i(films["train"], reference, way)
        problem = problem_on(settings, reading.protocol, "cpu", body, (own.features, own.classes))
        problem = replace(problem, fixed=replace(problem, fixed=None).draw(0, 0))
        if problem.features is not None:
            seen = replace(problem.features, scoring=films["val"].features)
            problem = replace(problem, features=seen)
        problem = replace(problem, scoring=(torch.empty(0), films["val"].classes))
    else:
        found = surrogates(_statistic(films["train"], reference, way), reference)
        problem = problem_on(settings, reading.protocol, "cpu", body, found)
    state, journal = initial_state(settings, reading.protocol.side), Journal(None, None)
    for _ in range(settings.outer_steps):
        state, _ = train_step(state, problem, journal, ALONE)
    outcome = conclude(state, problem, journal, ALONE, piece.folder.name)
    data = tensors_of(outcome.distilled, settings.sets, torch.device("cpu"))
    head = train_head(Head.zeros(body), data, settings.trajectory)
    (val, _), (test, area) = films["val"].judge(head), films["test"].judge(head)
    return Result({"val": val, "test": test, "auc": area, "surrogates": outcome.score.mean})


def _with_class_i(films: Films, reference: Reference, way: Way) -> Films:
    """Where no window is of class I, drawn ones are."""
    if films.has_class_i:
        return films
    drawn, labels = surrogates(_statistic(films, reference, replace(way, epsilon=0.0)), reference)
    beside = labels == PatchClass.I
    nobody = torch.full((int(beside.sum()),), -1)
    return Films(
        torch.cat([films.features, drawn[beside]]),
        torch.cat([films.classes, labels[beside]]),
        torch.cat([films.films, nobody]),
    )


def _statistic(films: Films, reference: Reference, way: Way) -> npt.NDArray[np.float64]:
    """The class means that the queries give; each patient has one film."""
    shape, patients = way.reading.shape, []
    for film in np.unique(films.films.numpy()):
        own = films.films == film
        inside = films.classes[own] != PatchClass.I
        means = [
            reference.projection @ part.double().numpy().mean(0) if len(part) else None
            for part in (films.features[own][~inside], films.features[own][inside])
        ]
        positive = bool((films.classes[own] == PatchClass.P).any())
        patients.append(PatientMeans(means[0], means[1], positive))
    multipliers = _multipliers(way.epsilon, way.delta, shape.shares) if way.epsilon else (0.0, 0.0)
    statistic = ask(patients, reference.centres, shape, multipliers, rounded_gaussian)
    return estimate(statistic, reference.centres, shape, multipliers).means


@lru_cache(maxsize=16)
def _multipliers(epsilon: float, delta: float, shares: tuple[float, float]) -> tuple[float, ...]:
    """Of a budget; the accountant needs seconds for each."""
    return spend(Budget(epsilon, delta), shares).multipliers


def cells_of(plan: Plan, hospitals: Sequence[Hospital], store: Store, data: Path) -> list[Cell]:
    """All cells; of each way the first seeds of all hospitals come first."""
    reading = Reading(plan.protocol, plan.shape, plan.drawing)
    cells, read = list[Cell](), dict[str, Cell]()
    for hospital in hospitals:
        cut = replace(cohort_cell(hospital, plan.protocol), name=f"cohort-{hospital.name}")
        read[hospital.name] = Cell(
            f"{READ}-{hospital.name}", READ, read_hospital, reading, 0, {"cohort": cut}, 120.0
        )
        cells += [*hospital.needs.values(), cut, read[hospital.name]]
    drawn, full = Cell("images", "images", draw_images, plan.synthetic), plan.synthetic is None
    file = data / PNEUMONIA if full else store.folder(drawn) / SYNTHETIC
    protocol = plan.protocol.model_copy(update={"side": PNEUMONIA_SIDE})
    single = Reading(protocol, plan.images, plan.drawing)
    asked = ImagesReading(single, data_digest(file) if full else None)
    read[IMAGES] = Cell(
        *(f"{READ}-{IMAGES}", READ, partial(read_images, file), asked, 0),
        *({} if full else {"images": drawn}, 120.0),
    )
    cells += [*read[IMAGES].needs.values(), read[IMAGES]]
    for site in read:
        own = single if site == IMAGES else reading
        cells += [
            Cell(
                name_of(site, epsilon, seed),
                site,
                distil_hospital,
                Way(plan.settings, own, epsilon, plan.delta),
                seed,
                {READ: read[site]},
                60.0,
                version=2 if epsilon else 1,
            )
            for seed in range(plan.seeds)
            for epsilon in ways_of(plan)
        ]
    return cells


def ways_of(plan: Plan) -> tuple[float | None, ...]:
    """Each ε; 0: the statistic without noise; None: no guarantee."""
    return (*plan.epsilons, 0.0, None)


def name_of(site: str, epsilon: float | None, seed: int) -> str:
    """Of a cell."""
    word = "patches" if epsilon is None else f"e{epsilon:g}"
    return f"{site}-{word}-{seed}"


def report_of(plan: Plan, hospitals: Sequence[Hospital], results: Mapping[str, Result]) -> Report:
    """A table of patch scores and of AUC, with what is done so far."""
    titles = {0.0: NOISE_FREE, None: DEFAULTS}
    tables, names = [], [hospital.name for hospital in hospitals]
    for figure, title, sites in (
        ("test", "Patch score", [*names, IMAGES]),
        ("auc", "AUC of films", names),
    ):
        rows: list[Row] = []
        for epsilon in ways_of(plan):
            row: list[str | Value] = [titles.get(epsilon) or f"ε = {epsilon:g}"]
            for site in sites:
                own = [name_of(site, epsilon, seed) for seed in range(plan.seeds)]
                row.append(_spread([results[n].number(figure) for n in own if n in results]))
            rows.append(row)
        squares: list[str | Value] = [SQUARES]
        for site in sites:
            name = f"{READ}-{site}"
            squares.append(_spread([results[name].number(figure)] if name in results else []))
        rows.append(squares)
        about = f"{title}, test patients: mean and deviation over up to {plan.seeds} seeds"
        tables.append(Table(about, ["", *sites], rows))
    return Report("\n\n".join(map(str, tables)), {"tables": [own.as_data() for own in tables]})


def _spread(values: Sequence[float]) -> Value:
    if not values:
        return Value("-", None)
    if len(values) == 1:
        return Value(f"{values[0]:.3f}", list(values))
    text = f"{mean(values):.3f} ± {deviation(values):.3f}"
    return Value(text if len(values) > 1 else "-", list(values))


def study(chosen: argparse.Namespace, store: Store) -> Study:
    plan = QUICK if chosen.quick else FULL
    plan = replace(plan, seeds=chosen.seeds or plan.seeds)
    hospitals = hospitals_of(plan.phantoms, chosen.data, store)
    cells = cells_of(plan, hospitals, store, chosen.data)
    return Study(plan, cells, lambda results: report_of(plan, hospitals, results), partial=True)
