"""``python -m benchmarks.engine``: the engine against its rivals, as a table and as JSON.

Without ``--ssnl`` (or GDSHARE_SSNL) Wang et al.'s code is stood in for by ours of their recipe;
``--agreement`` shows that the two compute the same. ``--quick`` takes under two minutes.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.command import faults_told, parser, say, write_figures
from benchmarks.engine import agreement, race, scale, speed
from benchmarks.engine.agreement import Agreement, Precision
from benchmarks.engine.rivals import Name, checkout_from_environment
from benchmarks.engine.speed import SpeedScale
from benchmarks.engine.team import Worker

NAME = "benchmarks.engine"


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


def qualities(data: Path, out: Path, checkout: Path | None) -> dict[str, object]:
    """Hold the races, print their tables, and return their figures; hours of CPU.

    Args:
        data: folder that holds medmnist/ and tb_cxr/; where it is missing, that is said.
        out: folder for the runs.
        checkout: of ssnl/dataset-distillation.
    """
    if not data.exists():
        print(f"time to quality: skipped, there is no {data}; give the real data by --data")
        return {"time_to_quality_ratio_vs_ssnl": None, "time_to_quality_skipped": f"no {data}"}
    told = race.hold(race.COURSES, race.SEEDS, data, out, checkout, say)
    print(race.table(told))
    return {
        "time_to_quality_ratio_vs_ssnl": race.smallest_mean(told),
        "time_to_quality": {one.course.task: one.figures() for one in told},
    }


def main() -> None:
    """Read the options and measure."""
    chosen = options().parse_args()
    torch.set_num_threads(1)
    work = speed.QUICK if chosen.quick else speed.FULL
    with faults_told(goes_on=not chosen.quick):
        checkout = chosen.ssnl or checkout_from_environment()
        checkout = checkout and checkout.resolve()  # rivals start in a folder of their own
        figures = report(work, checkout, chosen.agreement)
        if not chosen.quick:
            figures |= {"at_default": timed(speed.DEFAULT, checkout, Worker)}
            seen = scale.measure()
            print(scale.table(seen) + "\n")
            figures |= {"workers_speedup": seen.speedup}
            figures |= qualities(chosen.data, chosen.out, checkout)
        write_figures(chosen.json, NAME, figures)


if __name__ == "__main__":
    main()
