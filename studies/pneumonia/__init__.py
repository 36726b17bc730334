"""Do two distilled images, one a class, teach pneumonia as well as all 4,708 training images?

The target: the ConvNet trained from them comes within 3 points of balanced accuracy of the same
ConvNet trained on every training image of PneumoniaMNIST (28 px, padded to 32), both judged on the
test images. In full about an hour of CPU; ``--quick`` takes under a minute, on drawn images::

    OUT/
      images.DIGEST/synthetic.npz   with --quick: drawn images in place of real ones
      distil-0...                   seed 0's distillation: its best scored images
      real-0-plain-0.001...         seed 0's trainings on real images, one a trial
      judge-0...                    what seed 0's networks call each test image
      distil-1... ...
"""

import argparse
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from gdshare.errors import CohortError, UsageError
from studies.command import Report, Study, require_all
from studies.pneumonia.plan import DISTILLED, FULL, QUICK, Judging, Plan
from studies.pneumonia.report import report_of
from studies.pneumonia.work import SYNTHETIC, distil, draw_images, judge, train_real
from studies.runner import Cell, Result, Store

KINDS = ("images", "distil", "real", "judge")
QUICK_HELP = "a tiny plan on drawn images"
REAL = Path("medmnist") / "pneumoniamnist.npz"
DATA, DATA_HELP = Path("../shared/data"), f"the folder that holds {REAL}"

DISTIL_S, REAL_S, JUDGE_S = 200.0, 240.0, 20.0  # CPU-seconds of the full plan


def add_options(parser: argparse.ArgumentParser) -> None:
    """What no other study takes."""
    parser.add_argument("--seeds", type=int, help="comparisons, from seed 0 (default 3, quick 2)")


def study(chosen: argparse.Namespace, store: Store) -> Study:
    """The cells, and the report of all of them.

    Raises:
        UsageError: no seed.
        CohortError: PneumoniaMNIST is not there.
    """
    plan, seeds = (QUICK, 2) if chosen.quick else (FULL, 3)
    seeds = seeds if chosen.seeds is None else chosen.seeds
    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: there must be one or more")
    cells = cells_of(plan, chosen.data, range(seeds), store)

    def report(results: Mapping[str, Result]) -> Report:
        require_all(cells, results)
        return report_of(plan, range(seeds), cells, results)

    return Study(cells, report)


def cells_of(plan: Plan, data: Path, seeds: Sequence[int], store: Store) -> list[Cell]:
    """All cells, seed after seed, so that whole seeds are done early.

    Raises:
        CohortError: PneumoniaMNIST is not there.
    """
    needs: dict[str, Cell] = {}
    full = plan.synthetic is None
    if full:
        file, source = data / REAL, real_digest(data / REAL)
    else:
        needs = {"images": Cell("images", "images", draw_images, plan.synthetic)}
        file, source = store.folder(needs["images"]) / SYNTHETIC, None
    cells = list(needs.values())
    for seed in seeds:
        ours = Cell(
            f"distil-{seed}",
            "distil",
            partial(distil, file),
            replace(plan.distilling, images=source),
            seed,
            needs,
            cpu_seconds=DISTIL_S if full else 1.0,
            resumable=True,
        )
        theirs = [
            Cell(
                f"real-{seed}-{trial.name}",
                "real",
                partial(train_real, file),
                replace(trial, images=source),
                seed,
                needs,
                cpu_seconds=REAL_S if full else 1.0,
            )
            for trial in plan.trials
        ]
        judging = Cell(
            f"judge-{seed}",
            "judge",
            partial(judge, file),
            Judging(plan.networks, plan.distilling.steps, plan.trials),
            seed,
            {DISTILLED: ours} | {t.name: cell for t, cell in zip(plan.trials, theirs, strict=True)},
            cpu_seconds=JUDGE_S if full else 1.0,
        )
        cells += [ours, *theirs, judging]
    return cells


def real_digest(file: Path) -> str:
    """The SHA-256 of PneumoniaMNIST's file.

    Raises:
        CohortError: it is not there.
    """
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise CohortError(
            f"{file}: cannot be read ({error.strerror}); give the folder that holds {REAL} by "
            "--data, or try everything out on drawn images by --quick"
        ) from error
