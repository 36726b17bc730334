"""The command line of every study."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from pydantic_core import to_jsonable_python

from benchmarks.command import one_line_errors, parser, say, write_figures
from gdshare.allocator import keep_freed_memory
from gdshare.errors import RunError
from gdshare.report.page import PAGE, write_page
from studies.page import study_page
from studies.report import Report
from studies.runner import Cell, Result, Store, forecast, run

NAMES = (
    "quality",
    "claim",
    "source",
    "rivals",
    "gain",
    "harmonised",
    "guarantee",
    "attacks",
    "pneumonia",
    "options",
    "poison",
)
REPORT = "report"


@dataclass(frozen=True)
class Study:
    """What the ``study`` of a study's module declares."""

    plan: object
    cells: Sequence[Cell]  # in the order to do them in
    report: Callable[[Mapping[str, Result]], Report]
    partial: bool = False  # the report may be of some cells


def results_beside(name: str, cells: Sequence[Cell], store: Store) -> Mapping[str, Result]:
    """What another study has in the same folders; nothing if that cannot be told."""
    try:
        return Store(name, store.out, store.archive).results(cells)
    except RunError as error:
        say(f"without the figures of studies {name}: {error}")
        return {}


def options(
    program: str,
    about: str | None,
    name: str,
    quick: str = "a tiny plan on drawn images, to see that all runs",
) -> argparse.ArgumentParser:
    """The command line ``python -m PROGRAM`` of one study; ``quick``: what ``--quick`` does."""
    line = parser(program, about, quick)
    data = Path("../shared/data")
    where = f"folder that holds tb_cxr and medmnist (default {data})"
    line.add_argument("--data", type=Path, default=data, help=where)
    line.add_argument(
        "--out",
        type=Path,
        help="folder for the cells and the page; cells in it are not done again (default "
        f"{name}-runs, with --quick a new one each time, removed at the end)",
    )
    line.add_argument(
        "--archive",
        type=Path,
        help="a small folder: cells whose results are in it are not done again, and the results of "
        "finished ones are kept in it; it holds no patch, image, weight, name or diagnosis",
    )
    line.add_argument("--seeds", type=int, help="how often all is measured (quality: once)")
    only = f"do one kind of cell and what it needs; {REPORT}: do none, print what is complete"
    line.add_argument("--only", metavar="KIND", help=only)
    line.add_argument(
        "--minutes", type=float, help="stop after so many CPU-minutes, to go on later"
    )
    line.add_argument("--forecast", action="store_true", help="say what is left, and do nothing")
    return line


def main(words: Sequence[str]) -> None:
    """Run the study that the first word names."""
    about = "Research on the method. A study's own help: python -m studies STUDY --help"
    names = argparse.ArgumentParser(prog="python -m studies", description=about)
    names.add_argument("study", choices=NAMES)
    name = names.parse_args(words[:1]).study
    declared = import_module(f"studies.{name}")
    line = options(f"studies {name}", declared.__doc__, name)
    chosen = line.parse_args(words[1:])
    if chosen.json and chosen.only not in (None, REPORT):
        line.error(f"--only {chosen.only} works out no figures, so there is nothing for --json")
    torch.set_num_threads(1)
    keep_freed_memory()
    with one_line_errors(goes_on=not chosen.quick), TemporaryDirectory() as aside:
        # A quick run that met old results would try nothing.
        out = chosen.out or Path(aside if chosen.quick else f"{name}-runs")
        store = Store(name, out, chosen.archive)
        if chosen.seeds is not None and chosen.seeds < 1:
            line.error(f"--seeds {chosen.seeds}: there must be one or more")
        study: Study = declared.study(chosen, store)
        kinds = [*dict.fromkeys(cell.kind for cell in study.cells), REPORT]
        if chosen.only not in (None, *kinds):
            line.error(f"--only {chosen.only}: choose from {', '.join(kinds)}")
        report = measure(study, store, chosen)
        if report is not None:
            print(report.text)
            store.out.mkdir(parents=True, exist_ok=True)
            page = study_page(name, declared.__doc__ or name, report)
            say(f"page: {write_page(out / PAGE, page)}")
            plan = to_jsonable_python(study.plan)
            write_figures(chosen.json, "studies", {"plan": plan, **report.figures})


def measure(study: Study, store: Store, chosen: argparse.Namespace) -> Report | None:
    """Do what is not done yet, and report it, unless that was not asked for or much is left."""
    kind = None if chosen.only == REPORT else chosen.only
    if chosen.forecast:
        say(f"{store.study}: {forecast(study.cells, store, kind)}")
        return None
    if chosen.only != REPORT:
        run(study.cells, store, say, kind, chosen.minutes)
        if kind is not None or forecast(study.cells, store).left:
            return None
    results = store.results(study.cells)
    if not study.partial and (left := [c.name for c in study.cells if c.name not in results]):
        raise RunError("not done", left[0], "do it by the same command without --only")
    return study.report(results)
