"""``python -m studies.quality``: three distilled images a hospital against real patches.

Does every piece that is not done yet, then prints the tables. Start it twice with the same command
to share the pieces between two processes; after a kill, the same command goes on. In full some
twelve CPU-hours; the tables tell what each kind of piece took. ``--quick`` takes under
two minutes, on synthetic films.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.command import add_archive, faults_told, parser, say, write_figures
from benchmarks.pieces.archive import do_kept, open_plans
from benchmarks.pieces.claims import Piece, with_needs
from gdshare.allocator import keep_freed_memory
from studies.quality.data import as_data
from studies.quality.hospitals import digests, phantom_hospitals, real_hospitals
from studies.quality.plan import FULL, QUICK, Plan
from studies.quality.report import Report, measure
from studies.quality.schedule import KINDS, folds_of, pieces_of
from studies.quality.tables import text

NAME = "studies.quality"
REPORT = "report"


def options() -> argparse.ArgumentParser:
    """The command line."""
    made = parser(NAME, __doc__, "a tiny plan on synthetic films")
    made.add_argument(
        "--data",
        type=Path,
        default=Path("../shared/data/tb_cxr"),
        help="the real films (default ../shared/data/tb_cxr)",
    )
    made.add_argument(
        "--out",
        type=Path,
        help="folder for the pieces; those in it are not done again (default quality-runs, with "
        "--quick a new one each time, removed at the end)",
    )
    add_archive(made)
    made.add_argument("--folds", type=int, help="parts of the patients (default 3, quick 2)")
    made.add_argument(
        "--only",
        choices=(*KINDS, REPORT),
        help="do one kind of piece and what it needs, or none and print what is complete",
    )
    return made


def planned(quick: bool, folds: int | None) -> Plan:
    """The plan that the options ask for.

    Raises:
        UsageError: too few folds.
    """
    plan = QUICK if quick else FULL
    return plan if folds is None else replace(plan, folds=folds)


def run(
    plan: Plan, data: Path, out: Path, only: str | None = None, archive: Path | None = None
) -> Report | None:
    """Do what is not done yet, and work out the figures unless ``only`` names a kind of piece.

    Args:
        plan: what is measured.
        data: the real films; not looked at when the plan has synthetic ones.
        out: folder for the pieces.
        only: a kind of piece, or "report" to do none.
        archive: where figures of finished pieces are, and are kept.

    Raises:
        GdshareError: a piece cannot be done; what is finished stays.
    """
    if plan.phantoms is None:
        hospitals = real_hospitals(data)
        tables = digests(hospitals)
    else:
        hospitals = phantom_hospitals(out, plan.phantoms)
        tables = {}
    open_plans(out, archive, plan.as_data(), tables)
    folds = folds_of(out, plan, hospitals)
    pieces = pieces_of(folds, hospitals)
    do_kept(out, archive, pieces, say, _wanted(pieces, only))
    if only not in (None, REPORT):
        return None
    return measure(folds_of(archive or out, plan, hospitals), pieces)


def _wanted(pieces: Sequence[Piece], only: str | None) -> Sequence[Piece]:
    if only is None:
        return pieces
    return [] if only == REPORT else with_needs(pieces, only)


def main() -> None:
    """Read the options and measure."""
    words = options()
    chosen = words.parse_args()
    if chosen.json and chosen.only not in (None, REPORT):
        words.error(f"--only {chosen.only} works out no figures, so there is nothing for --json")
    torch.set_num_threads(1)
    keep_freed_memory()
    with faults_told(goes_on=not chosen.quick), TemporaryDirectory() as aside:
        plan = planned(chosen.quick, chosen.folds)
        # A quick run that found old pieces would try nothing.
        out = chosen.out or Path(aside if chosen.quick else "quality-runs")
        report = run(plan, chosen.data, out, chosen.only, chosen.archive)
        if report is not None:
            print(text(report))
            write_figures(chosen.json, NAME, {"plan": plan.as_data(), **as_data(report)})


if __name__ == "__main__":
    main()
