"""The page of a round: what the pooled model reaches, and which bundles it comes from."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
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
    images_section,
)

ROUND = "round.json"


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
    seconds: dict[str, float]
    bytes_moved: dict[str, int]
    order: dict[str, JsonValue]

    @property
    def pooled(self) -> SiteFigures:
        """All sites together: the last row."""
        return self.rows[-1]


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
    bars = [
        Bar(row.name, row.harmonic_mean, row.intervals.harmonic_mean, row is result.pooled)
        for row in result.rows
    ]
    lead = figures_picture(bars, "HM of Sen and Spe on test films", None, "round")
    return Page(
        "A round of gdshare",
        verdict(result),
        lead,
        (
            f"ε = {result.epsilon:.2f} was "
            + (
                "fixed on the hospitals' validation films before a test film was counted."
                if result.epsilon_chosen
                else "taken from the source, since the validation counts say nothing of it."
            )
            + " Films never left their hospitals: these returned counts.",
        ),
        (
            _who(result),
            _figures(result),
            curves_section(result),
            *([images_section(shared, "All that left the hospitals.")] if shared else []),
            admission_section(result),
            *([attacks_section(shared)] if shared else []),
            cost_section(result.seconds, result.bytes_moved),
            provenance_section(result, folder),
        ),
    )


def verdict(result: RoundFile) -> str:
    """The round in a sentence."""
    row = result.pooled
    low, high = row.intervals.harmonic_mean.low, row.intervals.harmonic_mean.high
    return (
        f"One model, trained from {len(result.bundles)} hospitals' bundles alone, reaches HM "
        f"{row.harmonic_mean:.2f} [{low:.2f}, {high:.2f}] on {row.counts.films} test films of "
        f"{len(result.rows) - 1} hospitals."
    )


def _who(result: RoundFile) -> Section:
    films = {row.name: row.counts.films for row in result.rows}
    rows = tuple(
        (site, digest[:16], f"{result.weights.get(site, 0.0):.2f}", str(films.get(site, "-")))
        for site, digest in sorted(result.bundles.items())
    )
    networks = f"{result.networks} {result.network}"
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
    counts = by_epsilon(result.validation)
    picture = epsilon_picture(result.thresholds, counts, result.epsilon, "validation films")
    return Section("How ε was fixed", pictures=(picture,))


def admission_section(result: RoundFile) -> Section:
    """Which bundles were tested, and what was refused."""
    rows = tuple(
        (site, *_screened(own), "admitted" if site in result.bundles else "quarantined")
        for site, own in sorted(result.plausibility.items())
    )
    tables = [
        Table(
            "Each sound bundle alone, as a test of what it teaches",
            ("hospital", "AUC", "on", "agrees with the others", "outcome"),
            rows,
        )
    ]
    refused = tuple(
        (own.name or f"node {own.node}", own.reason, own.message) for own in result.refusals
    )
    if refused:
        tables.append(Table("Refused", ("bundle", "reason", "in words"), refused))
    said = [f"{own.site}: no {own.what} counts ({own.reason})." for own in result.missing]
    said += [f"Node {node} did not hand anything over." for node in result.silent]
    if not refused:
        said.append("No bundle was refused.")
    return Section("Admission", tuple(said), tables=tuple(tables))


def _screened(screening: Mapping[str, JsonValue]) -> tuple[str, str, str]:
    auc, films, agrees = "not tested", "", "-"
    utility, agreement = screening.get("teaching"), screening.get("agreement")
    if isinstance(utility, dict):
        auc = f"{float(str(utility['auc'])):.2f}"
        films = f"{utility['positives']} + {utility['negatives']} {utility['asked']}"
    if isinstance(agreement, dict):
        agrees = f"{float(str(agreement['direction'])):.2f}"
    return auc, films, agrees


def provenance_section(result: RoundFile, folder: str) -> Section:
    """What it takes to check or repeat it."""
    asked = tuple((name, str(value)) for name, value in sorted(result.order.items()))
    return Section(
        "Where this comes from",
        ("The model is in the round's folder, with the ε; its bundles' digests are above.",),
        tables=(Table("The round's order", ("option", "value"), asked),),
        commands=(
            f"gdshare classify {folder}/model FILM... --map maps",
            f"gdshare evaluate {folder}/model COHORT",
        ),
    )
