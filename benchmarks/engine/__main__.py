"""``python -m benchmarks.engine``: the engine against its rivals, as a table and as JSON.

Without ``--ssnl`` (or GDSHARE_SSNL) Wang et al.'s code is stood in for by ours of their recipe;
``--agreement`` shows that the two compute the same. ``--quick`` takes some two minutes.

Time to quality takes six CPU-hours, in races that are held once: after a kill the same command goes
on, and ``--only quality``, started twice, shares them between two processes.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.command import add_archive, faults_told, parser, say, write_figures
from benchmarks.engine import agreement, race, runs, scale, speed
from benchmarks.engine.agreement import Agreement, Precision
from benchmarks.engine.rivals import Name, checkout_from_environment
from benchmarks.engine.speed import SpeedScale
from benchmarks.engine.team import Worker

NAME = "benchmarks.engine"
SPEED, QUALITY = "speed", "quality"


def agreements(scale: SpeedScale, checkout: Path | None) -> list[Agreement]:
    """Everybody's derivative against Wang et al.'s code, or against the recipe in its stead."""
    reference: Name = "recipe" if checkout is None else "ssnl"
    others: list[Name] = ["graph", "ours-recipe"]
    if checkout is not None:
        others.append("recipe")
    precisions: tuple[Precision, ...] = ("float32", "float64")
    return [
        one
        for precision in precisions
        for one in agreement.agreement(reference, others, scale, precision, checkout)
    ]


def options() -> argparse.ArgumentParser:
    """The command line."""
    made = parser(NAME, __doc__, "fewer rounds, no time to quality")
    made.add_argument("--ssnl", type=Path, help="checkout of ssnl/dataset-distillation")
    made.add_argument("--agreement", action="store_true", help="compare the derivatives as well")
    made.add_argument(
        "--data",
        type=Path,
        default=Path("../shared/data"),
        help="real data for time to quality: medmnist/ and tb_cxr/ (default ../shared/data)",
    )
    made.add_argument(
        "--out",
        type=Path,
        default=Path("engine-runs"),
        help="folder for the runs of time to quality; they go on there (default engine-runs)",
    )
    add_archive(made)
    made.add_argument(
        "--seeds",
        type=int,
        default=race.SEEDS,
        help=f"comparisons of time to quality, from seed 0 (default {race.SEEDS})",
    )
    made.add_argument("--only", choices=(SPEED, QUALITY), help="do one of the two parts")
    return made


def timed(scale: SpeedScale, checkout: Path | None, start: speed.Start) -> dict[str, object]:
    """Time the rivals, print the table, and return its figures."""
    seen = speed.measure(scale, checkout, say, start)
    print(speed.table(seen) + "\n")
    return seen.figures()


def report(
    scale: SpeedScale,
    checkout: Path | None,
    compare: bool,
    start: speed.Start = Worker,
) -> dict[str, object]:
    """Measure, print the tables, and return the figures.

    Args:
        scale: of the speed table.
        checkout: of ssnl/dataset-distillation.
        compare: whether to compare derivatives.
        start: makes a rival ready for a job.
    """
    figures = timed(scale, checkout, start)
    if compare:
        pairs = agreements(scale, checkout)
        print(agreement.table(pairs) + "\n")
        figures["agreement"] = [asdict(pair) for pair in pairs]
    return figures


def speeds(checkout: Path | None, compare: bool) -> dict[str, object]:
    """All of the speed part at full length: the table's work, the defaults' work, and workers."""
    figures = report(speed.FULL, checkout, compare)
    figures |= {"at_default": timed(speed.DEFAULT, checkout, Worker)}
    seen = scale.measure()
    print(scale.table(seen) + "\n")
    return figures | {"workers_speedup": seen.speedup}


def qualities(
    seeds: int, data: Path, out: Path, archive: Path | None, checkout: Path | None
) -> dict[str, object]:
    """Hold the races, print their tables, and return their figures; hours of CPU.

    Args:
        seeds: comparisons of each course.
        data: folder that holds medmnist/ and tb_cxr/; where it is missing, that is said.
        out: folder for the runs.
        archive: where the scores of finished runs are, and are kept.
        checkout: of ssnl/dataset-distillation.
    """
    if not data.exists():
        print(f"time to quality: skipped, there is no {data}; give the real data by --data")
        return {"time_to_quality_ratio_vs_ssnl": None, "time_to_quality_skipped": f"no {data}"}
    told = runs.hold(seeds, data, out, archive, checkout, say)
    print(race.table(told))
    return {
        "time_to_quality_ratio_vs_ssnl": race.smallest_mean(told),
        "time_to_quality": {one.course.task: one.figures() for one in told},
    }


def main() -> None:
    """Read the options and measure."""
    words = options()
    chosen = words.parse_args()
    if chosen.quick and chosen.only == QUALITY:
        words.error(
            "--quick leaves out the time to quality, so there is nothing for --only quality"
        )
    torch.set_num_threads(1)
    with faults_told(goes_on=not chosen.quick):
        checkout = chosen.ssnl or checkout_from_environment()
        checkout = checkout and checkout.resolve()  # rivals start in a folder of their own
        figures: dict[str, object] = {}
        if chosen.quick:
            figures = report(speed.QUICK, checkout, chosen.agreement)
        elif chosen.only != QUALITY:
            figures = speeds(checkout, chosen.agreement)
        if not chosen.quick and chosen.only != SPEED:
            figures |= qualities(chosen.seeds, chosen.data, chosen.out, chosen.archive, checkout)
        write_figures(chosen.json, NAME, figures)


if __name__ == "__main__":
    main()
