"""``python -m benchmarks.engine``: the engine against its rivals, as a table and as JSON.

Without ``--ssnl`` (or GDSHARE_SSNL) our own writing of Wang et al.'s recipe stands in for their
code where a step is timed; tests show that the two compute the same. ``--quick`` takes some two
minutes.

Time to quality takes six CPU-hours, in races that are run once, in pieces of up to 20 CPU-minutes.
After a kill the same command goes on, and ``--only quality``, started twice, shares them between
two processes. ``--only report`` prints what is done, without the data and without their code.
"""

import os
from argparse import ArgumentParser
from pathlib import Path

import torch

from benchmarks.command import one_line_errors, say, write_figures
from benchmarks.engine import races, scale, speed
from benchmarks.engine.ssnl import CHECKOUT_VARIABLE
from benchmarks.engine.worker import worker
from studies.command import REPORT, measure, options
from studies.runner import Store

NAME = "benchmarks.engine"
SPEED, QUALITY = "speed", races.KIND


def command_line() -> ArgumentParser:
    """A study's, and what the rivals need."""
    parser = options(NAME, __doc__, "engine", "fewer rounds, no time to quality")
    checkout = os.environ.get(CHECKOUT_VARIABLE) or None
    where = f"checkout of ssnl/dataset-distillation (default {CHECKOUT_VARIABLE})"
    parser.add_argument("--ssnl", type=Path, default=checkout, help=where)
    parser.set_defaults(seeds=races.SEEDS)
    return parser


def speeds(
    size: speed.SpeedScale, checkout: Path | None, start: speed.Start = worker
) -> dict[str, object]:
    """Time the rivals; print and return the figures."""
    result = speed.measure(size, checkout, say, start)
    print(f"{speed.table(result)}\n")
    return result.figures()


def full_speeds(checkout: Path | None) -> dict[str, object]:
    """All of the speed part: the claims' work, the defaults' work, and workers."""
    figures = speeds(speed.FULL, checkout)
    figures |= {"at_default": speeds(speed.DEFAULT, checkout)}
    alone, together = scale.measure()
    print(scale.line(alone, together) + "\n")
    return figures | {"workers_speedup": alone / together}


def main() -> None:
    command = command_line()
    chosen = command.parse_args()
    if chosen.only not in (None, SPEED, QUALITY, REPORT):
        command.error(f"--only {chosen.only}: choose from {SPEED}, {QUALITY}, {REPORT}")
    if chosen.quick and chosen.only in (QUALITY, REPORT):
        command.error("--quick leaves out the time to quality; leave out --quick or --only")
    torch.set_num_threads(1)
    with one_line_errors(goes_on=not chosen.quick):
        figures: dict[str, object] = {}
        if chosen.quick:
            figures = speeds(speed.QUICK, chosen.ssnl)
        elif chosen.only in (None, SPEED) and not chosen.forecast:
            figures = full_speeds(chosen.ssnl)
        if chosen.only is None and not chosen.quick and not (chosen.ssnl and chosen.data.exists()):
            print("time to quality: skipped; it needs --ssnl and the data, by --data")
            figures |= {"time_to_quality_ratio_vs_ssnl": None}
        elif chosen.only != SPEED and not chosen.quick:
            store = Store(races.STUDY, chosen.out or Path("engine-runs"), chosen.archive)
            reporting = chosen.only == REPORT
            study = races.study(chosen.seeds, chosen.data, chosen.ssnl, store, reporting)
            chosen.only = REPORT if reporting else None
            if report := measure(study, store, chosen):
                print(report.text)
                figures |= report.figures
        write_figures(chosen.json, NAME, figures)


if __name__ == "__main__":
    main()
