"""``python -m studies.pneumonia``: two distilled images against 4,708 real ones.

Does every piece that is not done yet, then prints the table. Start it twice with the same command
to share the pieces between two processes; after a kill, the same command goes on. ``--quick`` takes
under a minute, on drawn images.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.command import faults_told, parser, say, write_figures
from benchmarks.pieces.claims import do_pieces
from benchmarks.pieces.record import open_plan
from gdshare.allocator import keep_freed_memory
from gdshare.errors import UsageError
from studies.pneumonia.images import REAL, real_images, synthetic_images
from studies.pneumonia.plan import FULL, QUICK, PneumoniaPlan
from studies.pneumonia.report import Report, measure
from studies.pneumonia.schedule import pieces_of
from studies.pneumonia.tables import as_data, text

NAME = "studies.pneumonia"


def options() -> argparse.ArgumentParser:
    """The command line."""
    made = parser(NAME, __doc__, "a tiny plan on drawn images")
    made.add_argument("--seeds", type=int, help="comparisons, from seed 0 (default 3, quick 2)")
    made.add_argument(
        "--data",
        type=Path,
        default=Path("../shared/data"),
        help=f"the folder that holds {REAL} (default ../shared/data)",
    )
    made.add_argument(
        "--out",
        type=Path,
        help="folder for the pieces; those in it are not done again (default "
        "quality-runs/pneumonia, with --quick a new one each time, removed at the end)",
    )
    return made


def run(plan: PneumoniaPlan, data: Path, out: Path, seeds: int) -> Report:
    """Do what is not done yet, and work out the figures.

    Args:
        plan: what is measured.
        data: folder of the real images; not looked at when the plan has drawn ones.
        out: folder for the pieces.
        seeds: how many comparisons; more of them may be asked for later.

    Raises:
        GdshareError: a piece cannot be done; what is finished stays.
    """
    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: there must be one or more")
    if plan.synthetic is None:
        file, digest = real_images(data)
        open_plan(out, plan.as_data(), {REAL.name: digest})
    else:
        open_plan(out, plan.as_data(), {})
        file = synthetic_images(out, plan.synthetic)
    pieces = pieces_of(plan, file, range(seeds), out)
    do_pieces(out, pieces, say)
    return measure(plan, out, range(seeds), pieces)


def main() -> None:
    """Read the options and measure."""
    chosen = options().parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    plan, seeds = (QUICK, 2) if chosen.quick else (FULL, 3)
    wanted = seeds if chosen.seeds is None else chosen.seeds
    with faults_told(goes_on=not chosen.quick), TemporaryDirectory() as aside:
        # A quick run that found old pieces would try nothing.
        out = chosen.out or Path(aside if chosen.quick else "quality-runs/pneumonia")
        report = run(plan, chosen.data, out, wanted)
        print(text(report))
        write_figures(chosen.json, NAME, {"plan": plan.as_data(), **as_data(report)})


if __name__ == "__main__":
    main()
