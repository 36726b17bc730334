"""``python -m benchmarks.engine``: the engine against its rivals, as a table and as JSON.

Without ``--ssnl`` (or GDSHARE_SSNL) our own writing of Wang et al.'s recipe stands in for their
code; ``--agreement`` shows that the two compute the same. ``--quick`` takes some two minutes.

Time to quality takes six CPU-hours, in races that are run once, in pieces of up to 20 CPU-minutes.
After a kill the same command goes on, and ``--only quality``, started twice, shares them between
two processes. ``--only report`` prints what is done, without the data and without their code.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.command import one_line_errors, parser, say, write_figures
from benchmarks.engine import race, races, scale, speed
from benchmarks.engine.agreement import agreement
from benchmarks.engine.rivals import checkout_from_environment
from benchmarks.engine.worker import worker
from studies.runner import Store

NAME = "benchmarks.engine"
SPEED, QUALITY, REPORT = "speed", "quality", "report"
RATIO = "time_to_quality_ratio_vs_ssnl"


def options() -> argparse.ArgumentParser:
    """The command line."""
    command = parser(NAME, __doc__, "fewer rounds, no time to quality")
    add = command.add_argument
    add("--ssnl", type=Path, help="checkout of ssnl/dataset-distillation")
    add("--agreement", action="store_true", help="compare the derivatives as well")
    add(
        "--data",
        type=Path,
        default=Path("../shared/data"),
        help="real data for time to quality: medmnist/ and tb_cxr/ (default ../shared/data)",
    )
    add(
        "--out",
        type=Path,
        default=Path("engine-runs"),
        help="folder for the races, which go on there (default engine-runs)",
    )
    add(
        "--archive",
        type=Path,
        help="a small folder: races whose scores are in it are not run again, and the scores of "
        "finished ones are kept in it",
    )
    add(
        "--seeds",
        type=int,
        default=race.SEEDS,
        help=f"comparisons of time to quality, from seed 0 (default {race.SEEDS})",
    )
    add("--minutes", type=float, help="stop the races after so many CPU-minutes, to go on")
    add(
        "--only",
        choices=(SPEED, QUALITY, REPORT),
        help="one of the two parts, or the tables of the races that are done",
    )
    return command


def speeds(
    size: speed.SpeedScale, checkout: Path | None, compare: bool, start: speed.Start = worker
) -> dict[str, object]:
    """Time the rivals and, if asked, compare their derivatives; print and return the figures."""
    result = speed.measure(size, checkout, say, start)
    print(f"{speed.table(result)}\n")
    if not compare:
        return result.figures()
    compared = agreement(size.job, checkout, start)
    print(f"{compared}\n")
    return result.figures() | {"agreement": compared.as_data()}


def full_speeds(checkout: Path | None, compare: bool) -> dict[str, object]:
    """All of the speed part: the claims' work, the defaults' work, and workers."""
    figures = speeds(speed.FULL, checkout, compare)
    figures |= {"at_default": speeds(speed.DEFAULT, checkout, compare=False)}
    alone, together = scale.measure()
    print(scale.line(alone, together) + "\n")
    return figures | {"workers_speedup": alone / together}


def qualities(results: Sequence[race.Result]) -> dict[str, object]:
    """Print the tables of the races, and return their figures."""
    print(race.table(results))
    courses = {result.course.task: result.figures() for result in results}
    return {RATIO: race.smallest_mean(results), "time_to_quality": courses}


def main() -> None:
    """Read the options and measure."""
    command = options()
    chosen = command.parse_args()
    if chosen.quick and chosen.only in (QUALITY, REPORT):
        command.error("--quick leaves out the time to quality; leave out --quick or --only")
    torch.set_num_threads(1)
    with one_line_errors(goes_on=not chosen.quick):
        checkout = chosen.ssnl or checkout_from_environment()
        store = Store(races.STUDY, chosen.out, chosen.archive)
        figures: dict[str, object] = {}
        if chosen.quick:
            figures = speeds(speed.QUICK, checkout, chosen.agreement)
        elif chosen.only in (None, SPEED):
            figures = full_speeds(checkout, chosen.agreement)
        if chosen.only == REPORT:
            figures = qualities(races.report(chosen.seeds, store))
        elif chosen.only is None and not chosen.quick and not chosen.data.exists():
            print(f"time to quality: skipped, there is no {chosen.data}; give the data by --data")
            figures |= {RATIO: None}
        elif chosen.only != SPEED and not chosen.quick:
            held = races.hold(chosen.seeds, chosen.data, store, checkout, say, chosen.minutes)
            figures |= qualities(held)
        write_figures(chosen.json, NAME, figures)


if __name__ == "__main__":
    main()
