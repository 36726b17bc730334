"""A round's result: one JSON file for programs, one table for people."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from math import hypot
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, JsonValue, TypeAdapter

from aggregator.admission.plausibility import Screening
from aggregator.flower.counting import Missing
from aggregator.flower.folder import PAGE, RESULT, TABLE
from aggregator.flower.order import Order
from aggregator.refusals import Refusal
from aggregator.verified import Verified
from gdshare.messages import Counts
from gdshare.metrics import (
    SOURCE_TABLE,
    THRESHOLDS,
    Confusion,
    Interval,
    Intervals,
    best_threshold,
)
from gdshare.pooling import capped_weights
from gdshare.proportions import count_intervals
from gdshare.report.page import Page, write_page
from gdshare.report.round_page import RoundFile, round_page
from gdshare.report.sections import Shared
from gdshare.storage import write_bytes, write_json
from gdshare.suppression import Bounds, bounds

POOLED = "all sites"
HEADINGS = (
    "",
    "films",
    "Sen (95% interval)",
    "Spe (95% interval)",
    "HM (95% interval)",
    "TP",
    "FN",
    "TN",
    "FP",
    "indet. P",
    "indet. N",
)
SCREENING_HEADINGS = (
    "each bundle alone",
    "AUC (p)",
    "of P + N",
    "direction",
    "diagnosis",
    "length",
    "",
)


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: the site's, or ``POOLED``.
        sent: counts as the nodes sent them.
        bounds: what they can stand for.
        intervals: from the lower end at the worst to the upper end at the best.
    """

    name: str
    sent: Confusion
    bounds: Bounds
    intervals: Intervals


@dataclass(frozen=True)
class RoundResult:
    """A round's outcome.

    Attributes:
        network: its name.
        networks: how many vote together.
        epsilon: the one ε, fixed on pooled validation films.
        epsilon_chosen: False: their counts were the same at every ε, so that it is the source's.
        validation: site -> counts at every one of ``THRESHOLDS``, as its node sent them.
        test: site -> counts at ε, as its node sent them.
        suppress_below: site -> no cell of its test counts has fewer films than this, unless none;
            ``gdshare.suppression`` says what the counts can stand for.
        noise: site -> standard deviation of the noise on its test counts, in films.
        bundles: site -> digest of its admitted bundle.
        refusals: bundles that were not admitted.
        screenings: site -> utility and agreement of its bundle, for every sound bundle,
            quarantined or not; ``plausibility`` in JSON.
        weights: site -> its share in an average, by the capped number of patients it declares.
        missing: sites without one of the counts.
        silent: nodes, by Flower's number, that did not answer.
        names: node -> its hospital, as somebody bound them (``gdshare nodes add``).
        rows: of the table: each site, then all sites together.
        seconds: step of the round -> how long it took.
        bytes_moved: "bundles", all that were sent; "model", which sites receive only if they may
            not be shown the bundles.
        order: what the round was asked to do.
    """

    network: str
    networks: int
    epsilon: float
    epsilon_chosen: bool
    validation: Mapping[str, Sequence[Confusion]]
    test: Mapping[str, Confusion]
    suppress_below: Mapping[str, int]
    noise: Mapping[str, float]
    bundles: Mapping[str, str]
    refusals: Sequence[Refusal]
    screenings: Annotated[Mapping[str, Screening], Field(serialization_alias="plausibility")]
    weights: Mapping[str, float]
    missing: Sequence[Missing]
    silent: Sequence[int]
    names: Mapping[int, str]
    rows: Sequence[Row]
    seconds: Mapping[str, float]
    bytes_moved: Mapping[str, int]
    order: Order


def rows(test: Mapping[str, Counts], seed: int) -> list[Row]:
    """Each site and all of them together; ``seed`` decides the intervals that are resampled."""
    generator = np.random.default_rng(seed)
    sent = {site: answer.confusions[0] for site, answer in sorted(test.items())}
    known = {site: bounds(counts, test[site].suppress_below) for site, counts in sent.items()}
    sent[POOLED] = pooled(list(sent.values()))
    known[POOLED] = _sum(list(known.values()))
    noise = {site: answer.noise for site, answer in test.items()}
    noise[POOLED] = hypot(*noise.values())
    return [
        Row(name, counts, known[name], _intervals(known[name], noise[name], generator))
        for name, counts in sent.items()
    ]


def _intervals(known: Bounds, noise: float, generator: np.random.Generator) -> Intervals:
    """Of the worst and of the best that the counts can stand for, together."""
    low = count_intervals(known.worst, generator, noise)
    exact = known.best == known.worst
    high = low if exact else count_intervals(known.best, generator, noise)
    return Intervals(
        Interval(low.sensitivity.low, high.sensitivity.high),
        Interval(low.specificity.low, high.specificity.high),
        Interval(low.harmonic_mean.low, high.harmonic_mean.high),
    )


def chosen_epsilon(validation: Sequence[Counts]) -> float | None:
    """The ε of highest HM on the validation films of all sites, each count at its run's middle.

    Returns:
        None if the counts are the same at every ε, as where all sites are too small.
    """
    by_site = [
        [bounds(confusion, answer.suppress_below) for confusion in answer.confusions]
        for answer in validation
    ]
    middles = [_sum(at_epsilon).middle for at_epsilon in zip(*by_site, strict=True)]
    return None if len(set(middles)) == 1 else best_threshold(middles)


def _sum(known: Sequence[Bounds]) -> Bounds:
    nothing = Confusion(0, 0, 0, 0)
    return sum(known, Bounds(nothing, nothing))


def pooled(confusions: Sequence[Confusion]) -> Confusion:
    """The sum of several sites' counts."""
    return sum(confusions, Confusion(0, 0, 0, 0))


def pooled_by_threshold(counts: Sequence[Sequence[Confusion]]) -> list[Confusion]:
    """The sum over sites, at each threshold."""
    return [pooled(confusions) for confusions in zip(*counts, strict=True)]


def weights(admitted: Sequence[Verified]) -> dict[str, float]:
    """Site -> its share in an average."""
    manifests = [bundle.bundle.manifest for bundle in admitted]
    shares = capped_weights([manifest.counts.patients_at_least for manifest in manifests])
    return {manifest.site: share for manifest, share in zip(manifests, shares, strict=True)}


def table(result: RoundResult) -> str:
    """The results as text, followed by the source's figures."""
    lines = [HEADINGS, *(_cells(row) for row in result.rows)]
    screenings = [_screening_cells(site, result) for site in sorted(result.screenings)]
    notes = [f"{m.site}: no {m.what} counts ({m.reason})" for m in result.missing]
    notes += [f"{_label(result, r)}: refused ({r.reason})" for r in result.refusals]
    notes += [f"{_node(result, n)}: did not hand anything over" for n in result.silent]
    origin = (
        "fixed on validation films of all sites"
        if result.epsilon_chosen
        else "the source's, since the validation counts tell nothing of it"
    )
    heading = (
        f"Whole films by patch voting with {result.networks} {result.network}, trained on "
        f"{len(result.bundles)} bundles ({result.order.pooling}).\n"
        f"ε = {result.epsilon:.2f}, {origin}; the figures are of test films.\n"
        "Intervals are 95%, as if each film were another patient's: with several films a patient "
        "they\nare too narrow. Sen and Spe: Wilson's; HM: resampled."
    )
    if any(k > 1 for k in result.suppress_below.values()):
        heading += (
            "\nA hospital does not tell counts of a few films: 16-20 is all that is known of a "
            "count, a\nfigure is the middle of what it can be, and its interval covers all of it."
        )
    if any(result.noise.values()):
        heading += (
            "\nSome hospitals add noise to their counts (round.json); the intervals allow for it."
        )
    source = [
        ("Li et al. 2020 (other data, for orientation)", "images", "Sen", "Spe", "HM"),
        *source_rows(),
    ]
    blocks = [
        heading,
        _aligned(lines),
        *(["\n".join(notes)] if notes else []),
        _aligned([SCREENING_HEADINGS, *screenings]),
        _aligned(source),
    ]
    return "\n\n".join(blocks) + "\n"


def _node(result: RoundResult, node: int) -> str:
    """A node's hospital if it is bound to one, else its number."""
    return f"the node of {result.names[node]}" if node in result.names else f"node {node}"


def _label(result: RoundResult, refusal: Refusal) -> str:
    """Name and digest of a verified bundle, else the node."""
    if refusal.name is None or refusal.digest is None:
        return _node(result, refusal.node)
    return f"{refusal.name} {refusal.digest[:16]}"


def write_result(out: Path, result: RoundResult, admitted: Sequence[Verified]) -> None:
    """Write the table and the page, then ``round.json``, whose presence says the round is over.

    A round is not lost for a picture: what keeps the page from being drawn is logged.
    """
    write_bytes(out / TABLE, table(result).encode())
    data = to_json(result)
    try:
        write_page(out / PAGE, _page(out, data, admitted))
    except Exception:
        log.exception("the round's page could not be drawn; its table and figures are whole")
    write_json(out / RESULT, data)


def _page(out: Path, data: JsonValue, admitted: Sequence[Verified]) -> Page:
    shared = [
        Shared(own.site, own.bundle.distilled, manifest.attacks, manifest.privacy)
        for own in admitted
        for manifest in (own.bundle.manifest,)
    ]
    return round_page(RoundFile.model_validate(data), shared, out.name)


def to_json(result: RoundResult) -> JsonValue:
    """The result as plain data, with the thresholds of the validation counts."""
    plain: dict[str, JsonValue] = TypeAdapter(RoundResult).dump_python(
        result, mode="json", by_alias=True
    )
    figures: list[JsonValue] = [
        {
            "name": row.name,
            **figures_data(row.bounds.middle, row.intervals),
            "counts": asdict(row.sent),
            "worst": asdict(row.bounds.worst),
            "best": asdict(row.bounds.best),
        }
        for row in result.rows
    ]
    return {**plain, "format": "gdshare-round/1", "thresholds": list(THRESHOLDS), "rows": figures}


def figures_data(confusion: Confusion, intervals: Intervals) -> dict[str, JsonValue]:
    """Figures of merit as plain data, with their intervals and counts."""
    return {
        "counts": asdict(confusion),
        "sensitivity": confusion.sensitivity,
        "specificity": confusion.specificity,
        "harmonic_mean": confusion.harmonic_mean,
        "intervals": asdict(intervals),
    }


def source_rows() -> list[tuple[str, ...]]:
    """The source's figures as cells: method, images, sensitivity, specificity, HM."""
    return [(m, str(n), f"{a:.3f}", f"{b:.3f}", f"{c:.3f}") for m, n, a, b, c in SOURCE_TABLE]


def _cells(row: Row) -> tuple[str, ...]:
    c, i, worst, best = row.bounds.middle, row.intervals, row.bounds.worst, row.bounds.best
    counts = [_range(*pair) for pair in zip(astuple(worst), astuple(best), strict=True)]
    return (
        row.name,
        str(row.sent.films),
        _figure(c.tp + c.fn, c.sensitivity, i.sensitivity),
        _figure(c.tn + c.fp, c.specificity, i.specificity),
        _figure(min(c.tp + c.fn, c.tn + c.fp), c.harmonic_mean, i.harmonic_mean),
        *counts,
    )


def _range(worst: int, best: int) -> str:
    return str(best) if worst == best else f"{min(worst, best)}-{max(worst, best)}"


def _screening_cells(site: str, result: RoundResult) -> tuple[str, ...]:
    """One bundle's figures, and whether it was admitted."""
    screening = result.screenings[site]
    verdict = f"weight {result.weights[site]:.2f}" if site in result.weights else "quarantined"
    if screening.faults and screening.accepted:
        verdict += ", accepted in spite of that"
    auc, films = "not tested", ""
    if (utility := screening.utility) is not None:
        auc = f"{utility.auc:.2f} ({utility.p:.3f})"
        films = f"{utility.positives} + {utility.negatives} {utility.asked}"
        films += "" if utility.tested else ", too few"
    direction = diagnosis = length = "-"
    if (agreement := screening.agreement) is not None:
        direction, diagnosis = f"{agreement.direction:.2f}", f"{agreement.diagnosis:.2f}"
        length = f"{agreement.length:.2f}"
    return site, auc, films, direction, diagnosis, length, verdict


def _figure(films: int, value: float, interval: Interval) -> str:
    if not films:
        return "-"
    return f"{value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    padded = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join(padded)
