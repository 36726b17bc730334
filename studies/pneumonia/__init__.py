"""Do two distilled images, one a class, teach pneumonia as well as all 4,708 training images?

The target: the ConvNet trained from them comes within 3 points of balanced accuracy of the same
ConvNet trained on every training image of PneumoniaMNIST (28 px, padded to 32), both judged on the
test images. In full about an hour of CPU; ``--quick`` takes under a minute, on drawn images.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import get_args

from benchmarks.engine.tasks import PNEUMONIA, data_digest
from studies.command import Report, Study
from studies.pneumonia.report import report_of
from studies.pneumonia.work import (
    DISTILLED,
    SYNTHETIC,
    Batches,
    Distilling,
    Judging,
    Training,
    distil,
    draw_images,
    judge,
    train_real,
)
from studies.runner import Cell, Result, Store

DISTIL_S, REAL_S, JUDGE_S = 200.0, 240.0, 20.0  # CPU-seconds of the full plan


@dataclass(frozen=True)
class Plan:
    """Everything that decides a study but its seeds."""

    distilling: Distilling
    trials: tuple[Training, ...]  # every way of training on real images
    networks: int = 10  # fresh θ0 that networks are trained from on the distilled images
    team: int = 5  # how many of these vote together
    synthetic: int | None = None  # so many drawn images of each class and split, not real ones


FULL = Plan(
    Distilling(),
    tuple(Training(way, rate) for way in get_args(Batches) for rate in (1e-3, 3e-4)),
)
QUICK = Plan(
    Distilling(batch=8, outer_steps=4, score_every=2),
    (Training("plain", 1e-3, 2, batch=8), Training("balanced", 1e-3, 2, batch=8)),
    networks=4,
    team=2,
    synthetic=12,
)


def study(chosen: argparse.Namespace, store: Store) -> Study:
    plan, seeds = (QUICK, 2) if chosen.quick else (FULL, 3)
    every = range(chosen.seeds or seeds)
    cells = cells_of(plan, chosen.data, every, store)

    def report(results: Mapping[str, Result]) -> Report:
        return report_of(plan.networks, plan.team, plan.trials, every, cells, results)

    return Study(plan, cells, report)


def cells_of(plan: Plan, data: Path, seeds: Sequence[int], store: Store) -> list[Cell]:
    """All cells, seed after seed, so that whole seeds are done early."""
    drawn, full = Cell("images", "images", draw_images, plan.synthetic), plan.synthetic is None
    file = data / PNEUMONIA if full else store.folder(drawn) / SYNTHETIC
    source = data_digest(file) if full else None
    needs = {} if full else {"images": drawn}
    costs = (DISTIL_S, REAL_S, JUDGE_S) if full else (1.0, 1.0, 1.0)
    work = [partial(function, file) for function in (distil, train_real, judge)]
    distilling = replace(plan.distilling, images=source)
    judging = Judging(plan.networks, plan.distilling.steps, plan.trials)
    cells = list(needs.values())
    for seed in seeds:
        name = f"distil-{seed}"
        ours = Cell(name, "distil", work[0], distilling, seed, needs, costs[0], resumable=True)
        judged = {DISTILLED: ours}
        for one in plan.trials:
            trial, name = replace(one, images=source), f"real-{seed}-{one.name}"
            judged[one.name] = Cell(name, "real", work[1], trial, seed, needs, costs[1])
        last = Cell(f"judge-{seed}", "judge", work[2], judging, seed, judged, costs[2])
        cells += [*judged.values(), last]
    return cells
