"""``gdshare evaluate``: classify a cohort's films and report figures, inside the hospital."""

import logging
from dataclasses import asdict
from math import isnan, nan
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import typer

from gdshare.cli.terminal import (
    AsJson,
    Device,
    print_json,
    print_line,
    print_next,
    print_table,
    resolve_device,
)
from gdshare.config import variable
from gdshare.extras import require_extra
from gdshare.metrics import SOURCE_TABLE, Interval, best_threshold
from gdshare.next_steps import Command, Word
from gdshare.progress import progress

if TYPE_CHECKING:
    from gdshare.evaluation import LocalFigures

log = logging.getLogger(__name__)

BEST = "best HM on validation films"
WORDS = {"val": "validation", "test": "test"}
MIN_FILMS = 10
"""Per diagnosis; with fewer, figures are unreliable."""


def evaluate(
    model: Annotated[Path, typer.Argument(help="A trained model's folder.")],
    cohort: Annotated[
        Path,
        typer.Argument(envvar=variable("cohort"), help="A labelled cohort made by gdshare label."),
    ],
    split: Annotated[
        Literal["val", "test"], typer.Option(help="Films of validation or of test patients.")
    ] = "test",
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="ε of Eq. 4. Default: the model's own, or the best on validation films. "
            "Source: 0.4.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of intervals that are resampled.")] = 0,
    report_file: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="Also make a page: curves, and the films that the model is most right and most "
            "wrong about. It shows films, so it stays in the hospital.",
        ),
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Classify whole films by patch voting and print Sen, Spe, HM and AUC with 95% intervals.

    The intervals count patients, not films. The paper's figures, on other data, are shown for
    comparison.
    """
    require_extra("distill")
    from gdshare.cohort import open_cohort
    from gdshare.evaluation import cohort_votes, confusions, local_figures
    from gdshare.model import load_model

    trained, record = load_model(model)
    labelled = open_cohort(cohort)
    device_name = resolve_device(device)
    epsilon, origin = threshold, "given"
    if epsilon is None and record.threshold is not None:
        epsilon, origin = record.threshold, "the model's own"
    if epsilon is None:
        with progress("validation films") as report:
            val = cohort_votes(trained, labelled, "val", device_name, report)
        epsilon, origin = best_threshold(confusions(val)), BEST
    with progress(f"{split} films") as report:
        votes = cohort_votes(trained, labelled, split, device_name, report)
    figures = local_figures(votes, epsilon, np.random.default_rng(seed))
    if report_file is not None:
        from gdshare.report.evaluation_page import Evaluation, evaluation_page, judged
        from gdshare.report.page import write_page

        films = judged(labelled.films_of(split), votes)
        words = ["gdshare evaluate", quote(str(model)), quote(str(cohort)), f"--split {split}"]
        options = f"--threshold {epsilon} --seed {seed} --report {quote(str(report_file))}"
        command = " ".join([*words, options])
        evaluation = Evaluation(
            trained,
            votes,
            films,
            figures,
            origin,
            split == "val" and origin == BEST,
            f"{WORDS[split]} films of {cohort.name}",
            command,
        )
        write_page(report_file, evaluation_page(evaluation, device_name))
        log.info("page in %s", report_file)
    if as_json:
        return print_json(_as_data(figures, split, origin))
    _print(figures, f"{cohort}, {split} films; ε = {epsilon:.2f} ({origin})")
    print_next(Command("classify", (Word(model), Word(None, "FILM..."))))
    return None


def _print(figures: "LocalFigures", title: str) -> None:
    counts, intervals = figures.confusion, figures.intervals
    positives, negatives = counts.tp + counts.fn, counts.tn + counts.fp
    harmonic_mean = counts.harmonic_mean if positives and negatives else nan
    undecided = counts.indeterminate_positive + counts.indeterminate_negative
    rows: list[tuple[object, ...]] = [
        (
            "this model",
            counts.films,
            _cell(counts.sensitivity if positives else nan, intervals.sensitivity),
            _cell(counts.specificity if negatives else nan, intervals.specificity),
            _cell(harmonic_mean, intervals.harmonic_mean),
            _cell(figures.auc, figures.auc_interval),
            counts.tp,
            counts.fn,
            counts.tn,
            counts.fp,
            undecided,
        )
    ]
    rows += [
        (f"source: {name}, {images} images", "", f"{sen:.3f}", f"{spe:.3f}", f"{hm:.3f}", *[""] * 6)
        for name, images, sen, spe, hm in SOURCE_TABLE
    ]
    columns = ("", "films", "Sen", "Spe", "HM", "AUC", "TP", "FN", "TN", "FP", "undecided")
    print_table(title, columns, rows)
    print_line("The source's rows are from other data, for comparison only.")
    if min(positives, negatives) < MIN_FILMS:
        log.warning(
            "warning: only %d positive and %d negative films, so figures and intervals are "
            "unreliable",
            positives,
            negatives,
        )


def _cell(value: float, interval: Interval) -> str:
    if isnan(value):
        return "-"
    return f"{value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _as_data(figures: "LocalFigures", split: str, origin: str) -> dict[str, object]:
    counts = figures.confusion
    positives, negatives = counts.tp + counts.fn, counts.tn + counts.fp
    return {
        "split": split,
        "threshold": figures.threshold,
        "threshold_from": origin,
        "counts": asdict(counts),
        "sensitivity": counts.sensitivity if positives else None,
        "specificity": counts.specificity if negatives else None,
        "harmonic_mean": counts.harmonic_mean if positives and negatives else None,
        "auc": None if isnan(figures.auc) else figures.auc,
        "auc_interval": None if isnan(figures.auc) else asdict(figures.auc_interval),
        "intervals": asdict(figures.intervals),
    }


def register(app: typer.Typer) -> None:
    """Add ``evaluate`` to the app."""
    app.command()(evaluate)
