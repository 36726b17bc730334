"""``python -m benchmarks.quality``: three distilled images a hospital against real patches.

Does every piece that is not done yet, then prints the tables. Start it twice with the same command
to share the pieces between two processes; after a kill, the same command goes on. In full some
twelve CPU-hours, of which two thirds for the first arm and the baselines; ``--quick`` takes under
two minutes, on synthetic films.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from pydantic import JsonValue

from benchmarks.quality.archive import restore, store
from benchmarks.quality.claims import do_pieces, with_needs
from benchmarks.quality.data import as_data
from benchmarks.quality.hospitals import digests, phantom_hospitals, real_hospitals
from benchmarks.quality.plan import FULL, QUICK, Plan
from benchmarks.quality.record import open_plan
from benchmarks.quality.report import Report, measure
from benchmarks.quality.schedule import KINDS, folds_of, pieces_of
from benchmarks.quality.tables import text
from benchmarks.versions import versions
from gdshare.allocator import keep_freed_memory
from gdshare.errors import GdshareError
from gdshare.storage import write_json

REPORT = "report"


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a tiny plan on synthetic films")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("../shared/data/tb_cxr"),
        help="the real films (default ../shared/data/tb_cxr)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="folder for the pieces; those in it are not done again (default quality-runs, with "
        "--quick a new one each time, removed at the end)",
    )
    parser.add_argument(
        "--archive",
        type=Path,
        help="a small folder: pieces whose figures are in it are not done again, and the figures "
        "of finished ones are kept in it; it holds no patch, image, weight, name or diagnosis",
    )
    parser.add_argument("--folds", type=int, help="parts of the patients (default 3, quick 2)")
    parser.add_argument(
        "--only",
        choices=(*KINDS, REPORT),
        help="do one kind of piece and what it needs, or none and print what is complete",
    )
    return parser


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
    for folder in (out, archive) if archive else (out,):
        open_plan(folder, plan.as_data(), tables)
    folds = folds_of(out, plan, hospitals)
    pieces = pieces_of(folds, hospitals)
    if archive:
        restore(out, archive, pieces)
    if only != REPORT:
        wanted = with_needs(pieces, only) if only else pieces
        do_pieces(out, wanted, lambda line: print(line, file=sys.stderr, flush=True))
    if archive:
        store(out, archive, pieces)
    return measure(folds, pieces) if only in (None, REPORT) else None


def figures(plan: Plan, report: Report, command: Sequence[str]) -> dict[str, JsonValue]:
    """All figures as data, with what they depend on."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(command),
        "versions": dict(versions()),
        "plan": plan.as_data(),
        **as_data(report),
    }


def main() -> None:
    """Read the options and measure."""
    parser = options()
    chosen = parser.parse_args()
    if chosen.json and chosen.only not in (None, REPORT):
        parser.error(f"--only {chosen.only} works out no figures, so there is nothing for --json")
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        plan = planned(chosen.quick, chosen.folds)
        with TemporaryDirectory() as aside:  # a quick run that found old pieces would try nothing
            out = chosen.out or Path(aside if chosen.quick else "quality-runs")
            report = run(plan, chosen.data, out, chosen.only, chosen.archive)
        if report is not None:
            print(text(report))
            if chosen.json:
                command = ["python", "-m", "benchmarks.quality", *sys.argv[1:]]
                write_json(chosen.json, figures(plan, report, command))
    except GdshareError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on")


if __name__ == "__main__":
    main()
