"""A trial's table, in Markdown for people and as data for programs."""

from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite, isnan

from pydantic import JsonValue

from aggregator.results import figures_data, source_rows
from aggregator.trial.compare import Comparison, Line
from gdshare.distill.score import PatchScore
from gdshare.evaluation import LocalFigures
from gdshare.metrics import Interval

HEAD = ("trained from", "images", "patch score", "films of", "ε", "Sen", "Spe", "HM", "AUC")
COUNTS = ("TP", "FN", "TN", "FP", "undecided")


def markdown(comparison: Comparison) -> str:
    """The table, how to read it, and the source's table for orientation."""
    rows = [_row(line, site) for line in comparison.lines for site in line.figures]
    parts = [
        _table((*HEAD, *COUNTS), rows),
        'Test films; ε was fixed on validation films (each hospital\'s own for "alone", all '
        "together for the others). Models from bundles are ensembles whose networks vote together, "
        "unless their θ0 is announced; that and the one from real patches are single networks, of "
        "which patch scores always are. "
        "Intervals are 95%: for films over patients, for "
        "patch scores over fresh θ0. Guessing a patch scores 0.333. Undecided films have no N or P "
        "vote and count as negative.",
        *([_inits(comparison.pooled_inits)] if len(comparison.pooled_inits) > 1 else []),
        _table(
            ("way of pooling", "patch score, validation patients"),
            [(scheme, _score(score)) for scheme, score in comparison.schemes.items()],
        ),
        "The source (Li et al. 2020), on other data, for orientation only:",
        _table(
            ("method", "images", "Sen", "Spe", "HM"),
            source_rows(),
        ),
    ]
    return "\n\n".join(parts) + "\n"


def as_data(comparison: Comparison) -> dict[str, JsonValue]:
    """The comparison as plain JSON data; an AUC that does not exist is null."""
    return {
        "lines": [_line_data(line) for line in comparison.lines],
        "pooled_harmonic_mean_by_init": list(comparison.pooled_inits),
        "pooling_schemes": {k: _score_data(v) for k, v in comparison.schemes.items()},
    }


def _row(line: Line, site: str) -> tuple[str, ...]:
    figures = line.figures[site]
    counts, intervals = figures.confusion, figures.intervals
    return (
        line.name,
        str(line.images),
        _score(line.patch_score),
        f"{site} ({counts.films})",
        f"{line.threshold:.2f}",
        _with_interval(counts.sensitivity, intervals.sensitivity),
        _with_interval(counts.specificity, intervals.specificity),
        _with_interval(counts.harmonic_mean, intervals.harmonic_mean),
        _with_interval(figures.auc, figures.auc_interval),
        *(str(n) for n in (counts.tp, counts.fn, counts.tn, counts.fp)),
        str(counts.indeterminate_positive + counts.indeterminate_negative),
    )


def _with_interval(value: float, interval: Interval) -> str:
    return "-" if isnan(value) else f"{value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def _score(score: PatchScore) -> str:
    if len(score.values) == 1:
        return f"{score.mean:.3f}"
    low, high = score.lower, score.mean + score.half_width
    return f"{score.mean:.3f} [{low:.3f}, {high:.3f}]"


def _inits(values: Sequence[float]) -> str:
    listed = ", ".join(f"{value:.2f}" for value in values)
    mean = sum(values) / len(values)
    return (
        f"HM of the pooled model on all sites' test films from {len(values)} different seeds, ε "
        f"fixed again for each on validation films: {listed} (mean {mean:.2f})."
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _line_data(line: Line) -> dict[str, JsonValue]:
    return {
        "trained_from": line.name,
        "images": line.images,
        "patch_score": _score_data(line.patch_score),
        "threshold": line.threshold,
        "threshold_chosen_on": line.chosen_on,
        "figures": {site: _figures_data(figures) for site, figures in line.figures.items()},
    }


def _score_data(score: PatchScore) -> dict[str, JsonValue]:
    low = score.lower if isfinite(score.lower) else None
    return {"mean": score.mean, "low": low, "values": list(score.values)}


def _figures_data(figures: LocalFigures) -> dict[str, JsonValue]:
    return {
        **figures_data(figures.confusion, figures.intervals),
        "auc": None if isnan(figures.auc) else figures.auc,
        "auc_interval": None if isnan(figures.auc) else asdict(figures.auc_interval),
    }
