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
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gdshare.cohort import Cohort, open_cohort
from gdshare.cohort.split import Split
from gdshare.distill.head import Body, Head, train_head
from gdshare.distill.score import tensors_of
from gdshare.exact_noise import rounded_gaussian
from gdshare.method import Settings
from gdshare.patch_tensors import as_tensors
from gdshare.private.reference import Drawing
from gdshare.private.run import scattering_body
from gdshare.private.statistic import Shape
from gdshare.protocol import Protocol
from studies.command import Study
from studies.features import (
    distil,
    multipliers_of,
    patients_in,
    problem_of_patients,
    problem_of_windows,
    with_class_i,
)
from studies.hospitals import COHORT, Hospital, Phantoms, cohort_cell, hospitals_of
from studies.readings import (
    IMAGES,
    READ,
    SPLITS,
    Films,
    Reading,
    images_cell,
    keep_reading,
    open_reading,
    reading_of_images,
)
from studies.report import Report
from studies.runner import Cell, Piece, Result, Store
from studies.tables import Row, Table, Value, deviation, mean
from studies.votes import spread_rows

NOISE_FREE, DEFAULTS = "without noise", "no guarantee, defaults"
SQUARES = "least squares on patches"


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
class Way:
    """One way of distilling: ε at δ; 0: without noise; none: from the patches themselves."""

    settings: Settings
    reading: Reading
    epsilon: float | None
    delta: float


def read_hospital(piece: Piece, reading: Reading) -> Result:
    """The cell that computes features once: of patients, of films to judge by, of drawn ones."""
    cohort = open_cohort(piece.needs["cohort"].folder / COHORT)
    body = scattering_body(Settings(), reading.protocol)
    films = {split: _films(cohort, body, split, reading.shape.windows) for split in SPLITS}
    return keep_reading(piece, reading, body, films)


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
    body = scattering_body(settings, reading.protocol)
    films, reference = open_reading(piece.needs[READ].folder)
    if way.epsilon is None:
        own = with_class_i(films["train"], reference)
        problem = problem_of_windows(settings, reading.protocol, body, own, films["val"])
    else:
        problem = problem_of_patients(
            *(settings, reading.protocol, body, patients_in(films["train"], reference)),
            *(reference, reading.shape),
            multipliers_of(way.epsilon, way.delta, reading.shape.shares),
            rounded_gaussian,
        )
    outcome = distil(problem, piece.folder.name)
    data = tensors_of(outcome.distilled, settings.sets, torch.device("cpu"))
    head = train_head(Head.zeros(body), data, settings.trajectory)
    (val, _), (test, area) = films["val"].judge(head), films["test"].judge(head)
    return Result({"val": val, "test": test, "auc": area, "surrogates": outcome.score.mean})


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
    single = reading_of_images(plan.protocol, plan.images, plan.drawing)
    read[IMAGES] = images_cell(single, plan.synthetic, store, data)
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
