"""The command line of every study: what each has in common."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, cast

import torch
from pydantic_core import to_jsonable_python

from benchmarks.command import one_line_errors, parser, say, write_figures
from gdshare.allocator import keep_freed_memory
from gdshare.errors import RunError
from studies.runner import Cell, Result, Store, forecast, run

NAMES = ("quality", "pneumonia", "options", "poison", "phantom_task")
REPORT = "report"


@dataclass(frozen=True)
class Report:
    """What a study found: tables for people, and the figures for JSON."""

    text: str
    figures: Mapping[str, object]


@dataclass(frozen=True)
class Study:
    """A study: its plan, its cells in the order to do them in, and what their results come to."""

    plan: object
    cells: Sequence[Cell]
    report: Callable[[Mapping[str, Result]], Report]
    partial: bool = False  # the report may be of some cells


class Declaration(Protocol):
    """What a study's module has, beside its docstring."""

    KINDS: tuple[str, ...]  # of its cells
    QUICK_HELP: str  # what ``--quick`` does
    DATA: Path  # the default of ``--data``
    DATA_HELP: str

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add what no other study takes."""

    def study(self, chosen: argparse.Namespace, store: Store) -> Study:
        """Declare the cells and the report."""


def options(program: str, name: str, declared: Declaration) -> argparse.ArgumentParser:
    """The command line ``python -m PROGRAM`` of one study."""
    line = parser(program, declared.__doc__, declared.QUICK_HELP)
    where = f"{declared.DATA_HELP} (default {declared.DATA})"
    line.add_argument("--data", type=Path, default=declared.DATA, help=where)
    line.add_argument(
        "--out",
        type=Path,
        help=f"folder for the cells; those in it are not done again (default {name}-runs, with "
        "--quick a new one each time, removed at the end)",
    )
    line.add_argument(
        "--archive",
        type=Path,
        help="a small folder: cells whose results are in it are not done again, and the results of "
        "finished ones are kept in it; it holds no patch, image, weight, name or diagnosis",
    )
    line.add_argument(
        "--only",
        choices=(*declared.KINDS, REPORT),
        help="do one kind of cell and what it needs, or none and print what is complete",
    )
    line.add_argument("--processes", type=int, default=1, help="share the cells between so many")
    minutes = "stop after so many CPU-minutes of each process, to go on later"
    line.add_argument("--minutes", type=float, help=minutes)
    line.add_argument("--forecast", action="store_true", help="say what is left, and do nothing")
    declared.add_options(line)
    return line


def main(words: Sequence[str]) -> None:
    """Run the study that the first word names.

    Raises:
        SystemExit: an option is wrong, or the study fails in a way that is known.
    """
    about = "Research on the method. A study's own help: python -m studies STUDY --help"
    names = argparse.ArgumentParser(prog="python -m studies", description=about)
    names.add_argument("study", choices=NAMES)
    name = names.parse_args(words[:1]).study
    declared = cast(Declaration, import_module(f"studies.{name}"))
    line = options(f"studies {name}", name, declared)
    chosen = line.parse_args(words[1:])
    if chosen.json and chosen.only not in (None, REPORT):
        line.error(f"--only {chosen.only} works out no figures, so there is nothing for --json")
    torch.set_num_threads(1)
    keep_freed_memory()
    with one_line_errors(goes_on=not chosen.quick), TemporaryDirectory() as aside:
        # A quick run that met old results would try nothing.
        out = chosen.out or Path(aside if chosen.quick else f"{name}-runs")
        store = Store(name, out, chosen.archive)
        study = declared.study(chosen, store)
        report = measure(study, store, chosen)
        if report is not None:
            print(report.text)
            plan = to_jsonable_python(study.plan)
            write_figures(chosen.json, "studies", {"plan": plan, **report.figures})


def measure(study: Study, store: Store, chosen: argparse.Namespace) -> Report | None:
    """Do what is not done yet, and report it, unless that was not asked for or much is left.

    Raises:
        GdshareError: a cell cannot be done; what is finished stays.
    """
    kind = None if chosen.only == REPORT else chosen.only
    if chosen.forecast:
        say(f"{store.study}: {forecast(study.cells, store, kind)}")
        return None
    if chosen.only != REPORT:
        run(study.cells, store, say, kind, chosen.minutes, chosen.processes)
        if kind is not None or forecast(study.cells, store).left:
            return None
    results = store.results(study.cells)
    if not study.partial and (left := [c.name for c in study.cells if c.name not in results]):
        raise RunError("not done", left[0], "do it by the same command without --only")
    return study.report(results)
