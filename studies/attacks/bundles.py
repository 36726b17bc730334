"""The bundles: how each kind is made, and what it is worth."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gdshare.audit.shadows import Start, drawn_start
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
from gdshare.seeding import balanced_rows, numpy_generator
from gdshare.storage import make_folder, write_bytes, write_json
from studies.attacks.plan import Begin
from studies.hospitals import COHORT
from studies.runner import Piece, Result
from studies.votes import judge_votes, spread_rows

RUN = "run"


@dataclass(frozen=True)
class Making:
    """All that decides a bundle beside its cohort and its seed."""

    settings: Settings
    start: Begin
    budget: tuple[float, float] | None
    shape: Shape
    drawing: Drawing


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
    """Patch score of test patients, and AUC of their films, of the network that it trains.

    Every kind has an announced θ0, so there is one.
    """
    contribution = contribution_from("here", bundle.distilled, bundle.record, 1, None)
    model = train_pooled([contribution], cohort.protocol, "average", seed=0)
    module, patches = build(model.network, cohort.protocol.side), cohort.patches("test")
    rows = spread_rows(patches, shape.windows)
    x, y = as_tensors(patches, rows, cohort.protocol)

    def votes(theta: Mapping[str, Tensor]) -> Tensor:
        parts = [forward(module, theta, part) for part in torch.split(x, FORWARD_BATCH)]
        return torch.cat(parts).argmax(1)

    films = torch.from_numpy(patches.films[rows].astype(np.int64))
    (theta,) = model.ensemble
    with torch.inference_mode():
        return judge_votes(votes(theta), y, films)
