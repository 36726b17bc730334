"""What do bundles of several kinds give away? Every attack, its control, and what they are worth.

Each hospital of tb_cxr distils alone, with the defaults but for what a row names: soft labels,
hard labels, images that start from real patches, a guarantee of ε = 8; and a ConvNet trained whole,
with fresh and with announced θ0. Each bundle is audited as ``gdshare audit --full`` does, with
fewer shadows. Utility is of test patients, on up to 64 windows of class I and 64 of the organ of
each film. Noise of the guarantee comes from the operating system, so a repeat gives other figures.
"""

import argparse
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from gdshare.audit import ATTACKS
from gdshare.audit.attack import seed_of
from gdshare.audit.audit_run import Effort, attack_all, overfitted_sets
from gdshare.audit.record import AuditRecord
from gdshare.audit.shadows import FOLDER, Start, drawn_start, open_workshop
from gdshare.cli.audit import would_leave
from gdshare.cohort import Cohort, open_cohort
from gdshare.distill.journal import Journal
from gdshare.distill.loop import conclude, train_step
from gdshare.distill.problem import Problem, prepare, run_record
from gdshare.distill.run_folder import RECORD, RESULT, has_guarantee, read_record, read_result
from gdshare.distill.state import State, initial_state
from gdshare.distill.workers import ALONE
from gdshare.distilled import Distilled
from gdshare.method import RunRecord, Settings
from gdshare.networks import build, forward
from gdshare.patch_tensors import FORWARD_BATCH, as_tensors
from gdshare.pooling import contribution_from, train_pooled
from gdshare.private.account import Budget
from gdshare.private.record import PrivacyRecord, read_privacy
from gdshare.private.reference import Drawing
from gdshare.private.run import Mechanism, distill_privately
from gdshare.private.statistic import Shape
from gdshare.protocol import Protocol
from gdshare.seeding import balanced_rows, numpy_generator
from gdshare.storage import make_folder, write_bytes, write_json
from studies.command import Study
from studies.hospitals import COHORT, Hospital, Phantoms, cohort_cell, hospitals_of
from studies.report import Report
from studies.runner import Cell, Piece, Result, Store
from studies.tables import Row, Table, Value, costs, number
from studies.votes import judge_votes, spread_rows

RUN = "run"
Begin = Literal["noise", "patches"]
NETWORKS = 5
"""Trained from a bundle whose θ0 is fresh, for its utility."""


@dataclass(frozen=True)
class Kind:
    """A kind of bundle.

    Attributes:
        word: in names of cells.
        title: in the tables.
        settings: of its distillation.
        start: what the images are before the first training step.
        budget: ε and δ of its guarantee; None: it has none.
        sites: how many hospitals it is measured at, the first ones.
        cpu_seconds: expected of a distillation.
    """

    word: str
    title: str
    settings: Settings
    start: Begin = "noise"
    budget: tuple[float, float] | None = None
    sites: int = 2
    cpu_seconds: float = 30.0


@dataclass(frozen=True)
class Plan:
    """Everything that decides the study but the noise of guarantees."""

    protocol: Protocol
    kinds: tuple[Kind, ...]
    effort: Effort
    shape: Shape
    drawing: Drawing
    names: tuple[str, ...] = ("shenzhen-a", "montgomery")
    seeds: int = 1
    phantoms: Phantoms | None = None


def kinds_of(
    head: Settings, whole: Settings, delta: float, others: Sequence[float] = ()
) -> tuple[Kind, ...]:
    """The rows of the table.

    Args:
        head: where a last layer is trained.
        whole: where all weights are.
        delta: of the guarantees.
        others: each ε beside 8.
    """

    def other(settings: Settings, **changes: str) -> Settings:
        return Settings.model_validate(settings.model_dump() | changes)

    seconds = 90.0
    return (
        Kind("soft", "soft labels (default)", head),
        Kind("hard", "hard labels", other(head, labels="hard")),
        Kind("real", "started from real patches", head, start="patches"),
        Kind("e8", "ε = 8", head, budget=(8.0, delta)),
        *(
            Kind(f"e{epsilon:g}", f"ε = {epsilon:g}", head, budget=(epsilon, delta), sites=1)
            for epsilon in others
        ),
        Kind("fresh", "ConvNet, fresh θ0", whole, sites=1, cpu_seconds=seconds),
        Kind(
            "fixed",
            "ConvNet, announced θ0",
            other(whole, theta0="announced"),
            sites=1,
            cpu_seconds=seconds,
        ),
    )


FULL = Plan(
    Protocol(patch=75, stride=13, side=32, tone="none"),
    kinds_of(
        Settings(),
        Settings(network="convnet", outer_steps=100, precision="float32"),
        delta=1e-5,
        others=(1.0, 3.0, 16.0),
    ),
    Effort(32, 4),
    Shape(),
    Drawing(),
)
QUICK = Plan(
    Protocol(patch=40, stride=20, side=16, tone="none"),
    kinds_of(
        Settings(outer_steps=4, score_every=2, batch=60, feature_patches=60),
        Settings(network="convnet", outer_steps=2, score_every=2, batch=12, precision="float32"),
        delta=1e-3,
    ),
    Effort(4, 2),
    Shape(dimension=4, windows=8, fewest=2),
    Drawing(films=1, windows=20),
    phantoms=Phantoms(hospitals=1, per_diagnosis=26),
)


@dataclass(frozen=True)
class Making:
    """All that decides a bundle beside its cohort and its seed."""

    settings: Settings
    start: Begin
    budget: tuple[float, float] | None
    shape: Shape
    drawing: Drawing


@dataclass(frozen=True)
class Shadowing:
    """All that decides the shadows and the overfitted sets of an audit beside its bundle."""

    start: Begin
    drawing: Drawing
    shadows: int
    overfitted: int


@dataclass(frozen=True)
class Auditing:
    """All that decides an audit beside its bundle and its shadows."""

    start: Begin
    drawing: Drawing
    effort: Effort


@dataclass(frozen=True)
class Bundle:
    """What is attacked."""

    record: RunRecord
    distilled: Distilled
    guarantee: PrivacyRecord | None


def patches_start(problem: Problem) -> State:
    """Images that are training patches of their classes, drawn by the settings' seed."""
    settings = problem.settings
    state = initial_state(settings, problem.protocol.side)
    generator = numpy_generator(settings.seed, "start-patches")
    rows = balanced_rows(problem.rows, settings.images, generator)
    x, y = as_tensors(problem.train, rows, problem.protocol)
    images = x[torch.argsort(y, stable=True)]  # initial labels are the classes in turn
    if settings.images != len(problem.rows):
        raise ValueError("one image a class")
    begun = replace(state.unknowns, images=images)
    return replace(state, unknowns=begun, best=begun)


STARTS: Mapping[Begin, Start] = {"noise": drawn_start, "patches": patches_start}


def make_bundle(piece: Piece, making: Making) -> Result:
    """The cell that distils, and measures what the bundle is worth."""
    cohort = open_cohort(piece.needs["cohort"].folder / COHORT)
    settings = making.settings.model_copy(update={"seed": piece.seed})
    run = piece.folder / RUN
    if making.budget is not None:
        shutil.rmtree(run, ignore_errors=True)  # an attempt that was killed; its noise is lost
        mechanism = Mechanism(making.shape, making.drawing)
        distill_privately(cohort, run, settings, Budget(*making.budget), mechanism=mechanism)
    else:
        problem = prepare(cohort, settings, "cpu")
        state, journal = STARTS[making.start](problem), Journal(None, None)
        for _ in range(settings.outer_steps):
            state, _ = train_step(state, problem, journal, ALONE)
        outcome = conclude(state, problem, journal, ALONE, piece.folder.name)
        make_folder(run)
        write_json(run / RECORD, run_record(problem, cohort).model_dump(mode="json"))
        write_bytes(run / RESULT, outcome.distilled.to_bytes())
    score, area = worth(read_bundle(piece.folder), cohort, making.shape)
    return Result({"score": score, "auc": area})


def read_bundle(folder: Path) -> Bundle:
    """What ``make_bundle`` left in its folder."""
    run = folder / RUN
    guarantee = read_privacy(run) if has_guarantee(run) else None
    return Bundle(read_record(run), read_result(run), guarantee)


def worth(bundle: Bundle, cohort: Cohort, shape: Shape) -> tuple[float, float]:
    """Patch score of test patients, and AUC of their films, of the networks that it trains."""
    contribution = contribution_from("here", bundle.distilled, bundle.record, 1, None)
    networks = NETWORKS if bundle.record.theta0_sha256 is None else 1
    model = train_pooled([contribution], cohort.protocol, "average", 0, networks)
    module, patches = build(model.network, cohort.protocol.side), cohort.patches("test")
    rows = spread_rows(patches, shape.windows)
    x, y = as_tensors(patches, rows, cohort.protocol)

    def votes(theta: Mapping[str, Tensor]) -> Tensor:
        parts = [forward(module, theta, part) for part in torch.split(x, FORWARD_BATCH)]
        return torch.cat(parts).argmax(1)

    films = torch.from_numpy(patches.films[rows].astype(np.int64))
    with torch.inference_mode():
        judged = [judge_votes(votes(theta), y, films) for theta in model.ensemble]
    return float(np.mean([own[0] for own in judged])), float(np.mean([own[1] for own in judged]))


def make_shadows(piece: Piece, shadowing: Shadowing) -> Result:
    """The cell that distils whatever an audit compares the bundle with."""
    cohort, bundle = _attacked(piece)
    make_folder(piece.folder / FOLDER)
    workshop = open_workshop(
        *(bundle.record, bundle.distilled, cohort, seed_of(bundle.distilled), piece.folder),
        *("cpu", None, lambda done, total: None, bundle.guarantee, shadowing.drawing),
        STARTS[shadowing.start],
    )

    def step() -> None:
        if piece.over:
            piece.keep()

    for shadow in range(shadowing.shadows):
        workshop.shadow(shadow, step)
        piece.keep()
    overfitted_sets(workshop, shadowing.overfitted, step)
    return Result()


def make_audit(piece: Piece, auditing: Auditing) -> Result:
    """The cell that attacks."""
    cohort, bundle = _attacked(piece)
    shutil.copytree(piece.needs[SHADOWS].folder / FOLDER, piece.folder / FOLDER, dirs_exist_ok=True)
    audited = attack_all(
        *(bundle.record, bundle.distilled, cohort),
        mode="full",
        folder=piece.folder,
        guarantee=bundle.guarantee,
        drawing=auditing.drawing,
        effort=auditing.effort,
        start=STARTS[auditing.start],
        leaving=would_leave(piece.needs[BUNDLES].folder / RUN, ()),
    )
    return Result({"audit": audited.record.model_dump(mode="json")})


def _attacked(piece: Piece) -> tuple[Cohort, Bundle]:
    cohort = open_cohort(piece.needs["cohort"].folder / COHORT)
    return cohort, read_bundle(piece.needs[BUNDLES].folder)


BUNDLES, SHADOWS, AUDITS = "bundles", "shadows", "audits"


def cells_of(plan: Plan, hospitals: Sequence[Hospital]) -> list[Cell]:
    """All cells."""
    cohorts = {
        own.name: replace(cohort_cell(own, plan.protocol), name=f"cohort-{own.name}")
        for own in hospitals
    }
    cells = [cell for own in hospitals for cell in (*own.needs.values(), cohorts[own.name])]
    for seed, kind, site in attacked(plan, hospitals):
        cut, name = cohorts[site.name], name_of(site.name, kind, seed)
        making = Making(kind.settings, kind.start, kind.budget, plan.shape, plan.drawing)
        effort = plan.effort
        shadowing = Shadowing(kind.start, plan.drawing, effort.shadows, effort.overfitted)
        auditing = Auditing(kind.start, plan.drawing, effort)
        bundle = Cell(
            *(f"bundle-{name}", BUNDLES, make_bundle, making, seed, {"cohort": cut}),
            cpu_seconds=kind.cpu_seconds,
        )
        needs = {"cohort": cut, BUNDLES: bundle}
        distillations = effort.shadows + effort.overfitted
        shadows = Cell(
            *(f"shadows-{name}", SHADOWS, make_shadows, shadowing, seed, needs),
            cpu_seconds=0.7 * distillations * kind.cpu_seconds,  # a shadow reads no patches
            resumable=True,
        )
        audit = Cell(
            *(f"audit-{name}", AUDITS, make_audit, auditing, seed, {**needs, SHADOWS: shadows}),
            cpu_seconds=300.0,
        )
        cells += [bundle, shadows, audit]
    return cells


def attacked(plan: Plan, hospitals: Sequence[Hospital]) -> list[tuple[int, Kind, Hospital]]:
    """Seed, kind and hospital of each bundle: all that concerns the first hospital comes first."""
    return [
        (seed, kind, site)
        for seed in range(plan.seeds)
        for place, site in enumerate(hospitals)
        for kind in plan.kinds
        if place < kind.sites
    ]


def name_of(site: str, kind: Kind, seed: int) -> str:
    """What its cells are called."""
    return f"{site}-{kind.word}-{seed}"


def report_of(plan: Plan, hospitals: Sequence[Hospital], results: Mapping[str, Result]) -> Report:
    """A table for each bundle that is done: every attack, its control, and what it is worth."""
    tables = []
    for seed, kind, site in attacked(plan, hospitals):
        name = name_of(site.name, kind, seed)
        if f"audit-{name}" in results:
            record = AuditRecord.model_validate(results[f"audit-{name}"].facts["audit"])
            worth = results[f"bundle-{name}"]
            tables.append(_table(f"{kind.title}, {site.name}, seed {seed}", record, worth))
    cost = costs("CPU-seconds", cells_of(plan, hospitals), results, each=False)
    every = [*tables, cost]
    return Report("\n\n".join(map(str, every)), {"tables": [own.as_data() for own in every]})


def _table(title: str, record: AuditRecord, worth: Result) -> Table:
    rows: list[Row] = []
    tried = {result.attack.name: result for result in record.results}
    untried = {own.name: own.why for own in record.untried}
    for name in ATTACKS:
        if name not in tried:
            rows.append([name, Value("not tried", untried.get(name)), "", "", ""])
            continue
        result = tried[name]
        attack, control = result.attack, result.control
        figure = _with_ends(attack.figure, attack.low, attack.high)
        blind = "" if result.counts else " (blind)"
        rates = result.patients.true_positives if result.patients else ()
        rows.append(
            [
                name,
                figure,
                number(attack.unrelated),
                Value(
                    f"{_with_ends(control.figure, control.low, control.high).text}{blind}",
                    [control.figure, control.low, control.high, control.unrelated],
                ),
                Value(rates[0].text, [rates[0].figure, rates[0].low, rates[0].high])
                if rates
                else "",
            ]
        )
    if record.one_run is not None:
        rows.append(["not ε-DP below", number(record.one_run.epsilon), "", "", ""])
    rows.append(["patch score", number(worth.number("score")), "", "", ""])
    rows.append(["AUC of films", number(worth.number("auc")), "", "", ""])
    head = ("", "figure [95% interval]", "nothing", "on its control", "true at 1% false")
    return Table(title, head, rows)


def _with_ends(figure: float, low: float, high: float) -> Value:
    return Value(f"{figure:.3f} [{low:.3f}, {high:.3f}]", [figure, low, high])


def study(chosen: argparse.Namespace, store: Store) -> Study:
    plan = QUICK if chosen.quick else FULL
    plan = replace(plan, seeds=chosen.seeds or plan.seeds)
    hospitals = hospitals_of(plan.phantoms, chosen.data, store, plan.names)
    cells = cells_of(plan, hospitals)
    return Study(plan, cells, lambda results: report_of(plan, hospitals, results), partial=True)
