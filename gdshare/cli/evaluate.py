"""``gdshare evaluate``: classify a cohort's films and count, inside the hospital."""

from dataclasses import asdict
from math import isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import typer

from gdshare.cli.terminal import AsJson, Device, chosen_device, print_json, print_table, progress
from gdshare.extras import require_extra
from gdshare.metrics import SOURCE_TABLE, Interval, best_threshold

if TYPE_CHECKING:
    from gdshare.evaluation import LocalFigures


FEW = 10
"""Films of a diagnosis below which a resampled interval says little."""


def evaluate(
    model: Annotated[Path, typer.Argument(help="A trained model's folder.")],
    cohort: Annotated[Path, typer.Argument(help="A labelled cohort, made by `gdshare label`.")],
    split: Annotated[
        Literal["val", "test"], typer.Option(help="Whose films: validation or test patients.")
    ] = "test",
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="ε of Eq. 4. Without it: the model's own, or else the best on validation films. "
            "Source: 0.4.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides the bootstrap's draws.")] = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Classify whole films by patch voting and print Sen, Spe, HM and AUC with 95% intervals.

    The intervals come from resampling patients. The source's table stands beside, on other data.
    """
    require_extra("distill")
    from gdshare.cohort import open_cohort
    from gdshare.evaluation import cohort_votes, confusions, local_figures
    from gdshare.model import load_model

    trained, record = load_model(model)
    labelled = open_cohort(cohort)
    place = chosen_device(device)
    chosen, origin = threshold, "given"
    if chosen is None and isinstance(record.origin.get("threshold"), float):
        chosen, origin = float(str(record.origin["threshold"])), "the model's own"
    if chosen is None:
        with progress("validation films") as report:
            val = cohort_votes(trained, labelled, "val", place, report)
        chosen, origin = best_threshold(confusions(val)), "best HM on validation films"
    with progress(f"{split} films") as report:
        votes = cohort_votes(trained, labelled, split, place, report)
    figures = local_figures(votes, chosen, np.random.default_rng(seed))
    if as_json:
        return print_json(_as_data(figures, split, origin))
    _show(figures, f"{cohort}, {split} films; ε = {chosen:.2f} ({origin})")
    return None


def _show(figures: "LocalFigures", title: str) -> None:
    found, intervals = figures.confusion, figures.intervals
    positives, negatives = found.tp + found.fn, found.tn + found.fp
    undecided = found.indeterminate_positive + found.indeterminate_negative
    rows: list[tuple[object, ...]] = [
        (
            "this model",
            found.films,
            _with(found.sensitivity if positives else nan, intervals.sensitivity),
            _with(found.specificity if negatives else nan, intervals.specificity),
            _with(found.harmonic_mean if positives and negatives else nan, intervals.harmonic_mean),
            _with(figures.auc, figures.auc_interval),
            found.tp,
            found.fn,
            found.tn,
            found.fp,
            undecided,
        )
    ]
    rows += [
        (f"source: {name}, {images} images", "", f"{sen:.3f}", f"{spe:.3f}", f"{hm:.3f}", *[""] * 6)
        for name, images, sen, spe, hm in SOURCE_TABLE
    ]
    columns = ("", "films", "Sen", "Spe", "HM", "AUC", "TP", "FN", "TN", "FP", "undecided")
    print_table(title, columns, rows)
    typer.echo("The source's rows are from other data, for orientation only.")
    if min(positives, negatives) < FEW:
        typer.echo(
            f"only {positives} positive and {negatives} negative films: these figures and their "
            "intervals say little",
            err=True,
        )


def _with(value: float, interval: Interval) -> str:
    if isnan(value):
        return "-"
    return f"{value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _as_data(figures: "LocalFigures", split: str, origin: str) -> dict[str, object]:
    found = figures.confusion
    positives, negatives = found.tp + found.fn, found.tn + found.fp
    return {
        "split": split,
        "threshold": figures.threshold,
        "threshold_from": origin,
        "counts": asdict(found),
        "sensitivity": found.sensitivity if positives else None,
        "specificity": found.specificity if negatives else None,
        "harmonic_mean": found.harmonic_mean if positives and negatives else None,
        "auc": None if isnan(figures.auc) else figures.auc,
        "auc_interval": None if isnan(figures.auc) else asdict(figures.auc_interval),
        "intervals": asdict(figures.intervals),
    }


def register(app: typer.Typer) -> None:
    """Add ``evaluate`` to the app."""
    app.command()(evaluate)
