"""The command line of every study: what each has in common."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, cast

import torch

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
    """The cells of a study, in the order to do them in, and what their results come to."""

    cells: Sequence[Cell]
    report: Callable[[Mapping[str, Result]], Report]


class Declaration(Protocol):
    """What a study's module has.

    Attributes:
        KINDS: of its cells.
        QUICK_HELP: what ``--quick`` does.
        DATA, DATA_HELP: the default of ``--data``, and what it is.
    """

    KINDS: tuple[str, ...]
    QUICK_HELP: str
    DATA: Path
    DATA_HELP: str

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add what no other study takes."""

    def study(self, chosen: argparse.Namespace, store: Store) -> Study:
        """Declare the cells and the report."""


def options(name: str, declared: Declaration) -> argparse.ArgumentParser:
    """The command line of one study."""
    words = parser(f"studies {name}", declared.__doc__, declared.QUICK_HELP)
    words.add_argument(
        "--data",
        type=Path,
        default=declared.DATA,
        help=f"{declared.DATA_HELP} (default {declared.DATA})",
    )
    words.add_argument(
        "--out",
        type=Path,
        help=f"folder for the cells; those in it are not done again (default {name}-runs, with "
        "--quick a new one each time, removed at the end)",
    )
    words.add_argument(
        "--archive",
        type=Path,
        help="a small folder: cells whose results are in it are not done again, and the results of "
        "finished ones are kept in it; it holds no patch, image, weight, name or diagnosis",
    )
    words.add_argument(
        "--only",
        choices=(*declared.KINDS, REPORT),
        help="do one kind of cell and what it needs, or none and print what is complete",
    )
    words.add_argument("--processes", type=int, default=1, help="share the cells between so many")
    words.add_argument(
        "--minutes", type=float, help="stop after so many CPU-minutes of each process, to go on"
    )
    words.add_argument("--forecast", action="store_true", help="say what is left, and do nothing")
    declared.add_options(words)
    return words


def main(words: Sequence[str]) -> None:
    """Run one study: the first word names it.

    Raises:
        SystemExit: an option is wrong, or the study fails in a way that is known.
    """
    names = argparse.ArgumentParser(
        prog="python -m studies",
        description="Research on the method. A study's own help: python -m studies STUDY --help",
    )
    names.add_argument("study", choices=NAMES)
    name = names.parse_args(words[:1]).study
    declared = cast(Declaration, import_module(f"studies.{name}"))
    line = options(name, declared)
    chosen = line.parse_args(words[1:])
    if chosen.json and chosen.only not in (None, REPORT):
        line.error(f"--only {chosen.only} works out no figures, so there is nothing for --json")
    torch.set_num_threads(1)
    keep_freed_memory()
    with one_line_errors(goes_on=not chosen.quick), TemporaryDirectory() as aside:
        # A quick run that met old results would try nothing.
        out = chosen.out or Path(aside if chosen.quick else f"{name}-runs")
        report = measure(declared, chosen, Store(name, out, chosen.archive))
        if report is not None:
            print(report.text)
            write_figures(chosen.json, "studies", report.figures)


def measure(declared: Declaration, chosen: argparse.Namespace, store: Store) -> Report | None:
    """Do what is not done yet, and report it, unless that was not asked for or much is left.

    Raises:
        GdshareError: a cell cannot be done; what is finished stays.
    """
    study = declared.study(chosen, store)
    kind = None if chosen.only == REPORT else chosen.only
    if chosen.forecast:
        say(f"{store.study}: {forecast(study.cells, store, kind)}")
        return None
    if chosen.only != REPORT:
        run(study.cells, store, say, kind, chosen.minutes, chosen.processes)
        if kind is not None or forecast(study.cells, store).left:
            return None
    return study.report(store.results(study.cells))


def require_all(cells: Sequence[Cell], results: Mapping[str, Result]) -> None:
    """Refuse to report a study of which a cell is not done.

    Raises:
        RunError: one is not.
    """
    for cell in cells:
        if cell.name not in results:
            raise RunError(f"{cell.name}: not done; do it by the same command without --only")
