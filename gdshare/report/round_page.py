"""The page of a round: what the pooled model reaches, and which bundles it comes from."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from math import nan
from pathlib import Path
from shlex import quote
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from gdshare.errors import FederationError
from gdshare.metrics import Confusion, Intervals
from gdshare.plain_files import MAX_TABLE, read_plain
from gdshare.report.curves import (
    Bar,
    by_epsilon,
    epsilon_picture,
    figures_picture,
    with_interval,
)
from gdshare.report.page import Page, Section, Table
from gdshare.report.sections import (
    FIGURES,
    Shared,
    attacks_section,
    cost_section,
    guarantees_section,
    images_section,
    number,
    reached,
)

ROUND = "round.json"
LEFT = (
    "All that left the hospitals of their training films. Besides, they told counts of other films."
)
COUNTED = {"val": "validation"}
"""Kinds of counts, in words."""
ASKED = ("pooling", "ensemble", "sites", "wait", "timeout")
"""Options of a round that a page tells: the others name folders and people, or decide draws."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class SiteFigures(_Part):
    """A row of the result: a site's test films, or all sites' together.

    Attributes:
        name: the site's.
        counts: as they were sent; ``worst`` and ``best`` are what they can stand for.
        sensitivity, specificity, harmonic_mean, intervals: at the middle of these.
    """

    name: str
    counts: Confusion
    worst: Confusion
    best: Confusion
    sensitivity: float
    specificity: float
    harmonic_mean: float
    intervals: Intervals

    @property
    def existing_hm(self) -> float:
        """NaN where films of a diagnosis were not counted."""
        counted = min(self.worst.tp + self.worst.fn, self.worst.tn + self.worst.fp)
        return self.harmonic_mean if counted else nan


class Refused(_Part):
    """A bundle that was not admitted."""

    node: int
    reason: str
    message: str
    name: str | None = None


class Uncounted(_Part):
    """A site without one of the counts."""

    site: str
    what: str
    reason: str


class RoundFile(_Part):
    """``round.json``, as far as the page needs it; the aggregator writes it."""

    network: str
    networks: int
    epsilon: float
    epsilon_chosen: bool
    thresholds: tuple[float, ...]
    validation: dict[str, tuple[Confusion, ...]]
    rows: Annotated[tuple[SiteFigures, ...], Field(min_length=1)]
    bundles: dict[str, str]
    refusals: tuple[Refused, ...]
    plausibility: dict[str, dict[str, JsonValue]]
    weights: dict[str, float]
    missing: tuple[Uncounted, ...]
    silent: tuple[int, ...]
    names: dict[int, str] = {}
    seconds: dict[str, float]
    bytes_moved: dict[str, int]
    order: dict[str, JsonValue]
    suppress_below: dict[str, int]

    @property
    def pooled(self) -> SiteFigures:
        """All sites together: the last row."""
        return self.rows[-1]

    def node(self, number: int) -> str:
        """A node's hospital if it is bound to one, else its number."""
        return f"the node of {self.names[number]}" if number in self.names else f"node {number}"

    @property
    def counted(self) -> int:
        """Hospitals that told any test film."""
        return sum(row.counts.films > 0 for row in self.rows[:-1])


def read_round(folder: Path) -> RoundFile:
    """Read a round's result.

    Raises:
        FederationError: not there, or damaged.
    """
    path = folder / ROUND
    try:
        return RoundFile.model_validate_json(read_plain(path, MAX_TABLE))
    except OSError as error:
        raise FederationError(
            f"no finished round here ({error.strerror})", path, "hold one with gdshare aggregate"
        ) from error
    except ValidationError as error:
        raise FederationError("damaged or of another version", path, "hold it again") from error


def round_page(result: RoundFile, shared: Sequence[Shared], folder: str) -> Page:
    """The page of a round.

    Args:
        result: of the round.
        shared: the admitted bundles; none where they are no longer at hand.
        folder: of the round, for commands.
    """
    rows = result.rows if len(result.rows) > 2 else result.rows[-1:]
    bars = [
        Bar(row.name, row.existing_hm, row.intervals.harmonic_mean, row is result.pooled)
        for row in rows
    ]
    return Page(
        "A round of gdshare",
        verdict(result),
        figures_picture(bars, "HM of Sen and Spe on test films", None, "round"),
        (
            f"ε = {result.epsilon:.2f} was "
            + (
                "fixed on the hospitals' validation films before a test film was counted."
                if result.epsilon_chosen
                else "taken from the source, since the validation counts say nothing of it."
            )
            + " Films never left their hospitals: these returned counts.",
            *_gaps(result),
        ),
        (
            _who(result),
            _figures(result),
            curves_section(result),
            *([images_section(shared, LEFT)] if shared else []),
            admission_section(result),
            *guarantees_section(shared),
            *([attacks_section(shared)] if shared else []),
            cost_section(result.seconds, result.bytes_moved),
            provenance_section(result, folder),
        ),
    )


def verdict(result: RoundFile) -> str:
    """The round in a sentence."""
    row = result.pooled
    figure = reached(row.existing_hm, row.intervals.harmonic_mean)
    return (
        f"One model, trained from bundles of {number(len(result.bundles), 'hospital')} alone, "
        f"reaches {figure} on {number(row.counts.films, 'test film')} of "
        f"{number(result.counted, 'hospital')}."
    )


def _gaps(result: RoundFile) -> tuple[str, ...]:
    """What is missing, for the first screen."""
    gaps = [f"no {COUNTED.get(own.what, own.what)} counts of {own.site}" for own in result.missing]
    if result.refusals:
        gaps.append(f"{number(len(result.refusals), 'bundle')} refused or quarantined")
    if result.silent:
        gaps.append(f"{number(len(result.silent), 'node')} without an answer")
    if untold := [row.name for row in result.rows[:-1] if not row.counts.films]:
        gaps.append(f"too few films to tell any count: {', '.join(untold)}")
    return (f"Missing: {'; '.join(gaps)}. See Admission.",) if gaps else ()


def _who(result: RoundFile) -> Section:
    films = {row.name: row.counts.films or "not told" for row in result.rows}
    rows = tuple(
        (site, digest[:16], f"{result.weights.get(site, 0.0):.2f}", str(films.get(site, "-")))
        for site, digest in sorted(result.bundles.items())
    )
    networks = f"{number(result.networks, 'network')} ({result.network})"
    columns = ("hospital", "bundle's digest, first 16", "weight", "test films")
    return Section(
        "Who and what",
        (f"Trained: {networks}, from the admitted bundles, pooled by {result.order['pooling']}.",),
        tables=(Table("Admitted bundles", columns, rows),),
    )


def _figures(result: RoundFile) -> Section:
    rows = tuple(_row(row) for row in result.rows)
    said = ["Intervals are 95%, as if each film were another patient's."]
    if any(row.worst != row.best for row in result.rows):
        said.append(
            "A hospital does not tell counts of a few films: a figure is the middle of what a "
            "count can be, and its interval covers all of it."
        )
    return Section("Test films", tuple(said), tables=(Table("At ε", FIGURES, rows),))


def _row(row: SiteFigures) -> tuple[str, ...]:
    """A row of ``FIGURES``, with the ranges of counts that are not known exactly."""
    positives, negatives = row.worst.tp + row.worst.fn, row.worst.tn + row.worst.fp
    shares = (
        (positives, row.sensitivity, row.intervals.sensitivity),
        (negatives, row.specificity, row.intervals.specificity),
        (min(positives, negatives), row.harmonic_mean, row.intervals.harmonic_mean),
    )
    figures = (with_interval(value, known) if films else "-" for films, value, known in shares)
    pairs = zip(astuple(row.worst), astuple(row.best), strict=True)
    tp, fn, tn, fp, *undecided = (sorted(pair) for pair in pairs)
    unknown = [sum(ends) for ends in zip(*undecided, strict=True)]
    counts = (tp, fn, tn, fp, unknown)
    return (row.name, str(row.counts.films), *figures, *(_range(*ends) for ends in counts))


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


def curves_section(result: RoundFile) -> Section:
    """How the figures depend on ε, on validation films of all sites."""
    counts = by_epsilon(result.validation, result.suppress_below)
    picture = epsilon_picture(result.thresholds, counts, result.epsilon, "validation films")
    return Section("Sen, Spe and HM by ε", pictures=(picture,))


def admission_section(result: RoundFile) -> Section:
    """Which bundles were tested, and what was refused; the reasons in full are the operator's."""
    rows = tuple(
        (site, *_screened(own), _outcome(own, site in result.bundles))
        for site, own in sorted(result.plausibility.items())
    )
    columns = (
        "hospital",
        "AUC (p)",
        "counted on",
        "agreement of direction",
        "faults",
        "outcome",
    )
    tables = [Table("What each bundle alone teaches", columns, rows)] if rows else []
    refused = tuple((own.name or result.node(own.node), own.reason) for own in result.refusals)
    if refused:
        tables.append(Table("Refused or quarantined", ("bundle", "reason"), refused))
    said = [
        f"{own.site}: no {COUNTED.get(own.what, own.what)} counts ({own.reason})."
        for own in result.missing
    ]
    said += [f"Without an answer: {result.node(node)}." for node in result.silent]
    if not refused:
        said.append("No bundle was refused.")
    return Section("Admission", tuple(said), tables=tuple(tables))


def _screened(screening: Mapping[str, JsonValue]) -> tuple[str, str, str, str]:
    auc, films, agrees = "not tested", "", "-"
    utility, agreement = screening.get("teaching"), screening.get("agreement")
    if isinstance(utility, dict):
        auc = f"{float(str(utility['auc'])):.2f} ({float(str(utility['p'])):.3f})"
        films = f"{utility['positives']} + {utility['negatives']} {utility['asked']}"
    if isinstance(agreement, dict):
        agrees = f"{float(str(agreement['direction'])):.2f}"
    faults = screening.get("faults")
    listed = ", ".join(map(str, faults)) if isinstance(faults, list) else ""
    return auc, films, agrees, listed or "none"


def _outcome(screening: Mapping[str, JsonValue], admitted: bool) -> str:
    if not admitted:
        return "quarantined"
    spite = screening.get("faults") and screening.get("accepted")
    return "admitted by the operator in spite of that" if spite else "admitted"


def provenance_section(result: RoundFile, folder: str) -> Section:
    """What it takes to check or repeat it; no path, name of a person or seed."""
    asked = tuple((name, str(result.order[name])) for name in ASKED if name in result.order)
    model = quote(f"{folder}/model")
    return Section(
        "Where this comes from",
        ("The model is in the round's folder, with the ε.",),
        tables=(Table("What was asked for", ("option", "value"), asked),),
        commands=(
            f"gdshare classify {model} FILM... --map maps",
            f"gdshare evaluate {model} COHORT",
        ),
    )
