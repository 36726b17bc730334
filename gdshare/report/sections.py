"""Parts that several pages have: figures by site, the images, the attacks, times and bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan

from gdshare.bundle.attacks import Attack
from gdshare.bundle.guarantee import OUTSIDE, Guarantee
from gdshare.distilled import Distilled
from gdshare.metrics import Confusion, Interval, Intervals
from gdshare.report.attack_bars import QUESTIONS
from gdshare.report.curves import with_interval
from gdshare.report.page import Section, Table
from gdshare.report.tiles import rates_text, tiles

FIGURES = ("", "films", "Sen", "Spe", "HM", "TP", "FN", "TN", "FP", "indeterminate")


@dataclass(frozen=True)
class Shared:
    """What one hospital's bundle, or a run, shows to its reader.

    Attributes:
        name: of the bundle or the run.
        distilled: images, labels, rates.
        attacks: that were tried.
        guarantee: that its hospital states; None: none.
    """

    name: str
    distilled: Distilled
    attacks: tuple[Attack, ...]
    guarantee: Guarantee | None = None


def existing(counts: Confusion) -> tuple[float, float, float]:
    """Sen, Spe and HM; NaN for one that has no film."""
    positives, negatives, nothing = counts.tp + counts.fn, counts.tn + counts.fp, float("nan")
    return (
        counts.sensitivity if positives else nothing,
        counts.specificity if negatives else nothing,
        counts.harmonic_mean if positives and negatives else nothing,
    )


def reached(harmonic_mean: float, interval: Interval) -> str:
    """The HM in a verdict."""
    if isnan(harmonic_mean):
        return "an HM that cannot be computed, since films of one diagnosis were not counted,"
    return f"HM {with_interval(harmonic_mean, interval)}"


def number(count: int, what: str) -> str:
    """Such as ``1 hospital`` or ``3 hospitals``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def figures_row(name: str, counts: Confusion, known: Intervals) -> tuple[str, ...]:
    """A row of ``FIGURES``; a figure of no film is a dash."""
    sensitivity, specificity, harmonic_mean = existing(counts)
    return (
        name,
        str(counts.films),
        with_interval(sensitivity, known.sensitivity),
        with_interval(specificity, known.specificity),
        with_interval(harmonic_mean, known.harmonic_mean),
        *(str(cell) for cell in (counts.tp, counts.fn, counts.tn, counts.fp)),
        str(counts.indeterminate_positive + counts.indeterminate_negative),
    )


def images_section(shared: Sequence[Shared], which: str) -> Section:
    """The images themselves, with soft labels and learning rates."""
    rates = "; ".join(f"{own.name}: {rates_text(own.distilled)}" for own in shared)
    return Section(
        "The images",
        (
            f"{which} Each is shown over the middle 98% of its values. I, N and P are the shares "
            "of its soft label: outside the organ, inside and negative, inside and positive. That "
            "an image resembles nobody proves nothing; see what attacks found.",
            f"Learning rates: {rates}.",
        ),
        tuple(picture for own in shared for picture in tiles(own.distilled, own.name)),
    )


def attacks_section(shared: Sequence[Shared], blind: Sequence[str] = ()) -> Section:
    """What was tried on the images, and what came out; what was not tried is said as plainly.

    Args:
        shared: with the attacks whose controls fired.
        blind: names of those that found nothing, and whose control did not fire or is missing.
    """
    untried = [own.name for own in shared if not own.attacks and own.guarantee is None]
    said = ["The higher a figure, the more the attack finds out, up to 1."]
    if untried:
        said.append(f"Not attacked before they left: {', '.join(untried)} (gdshare audit).")
    if blind:
        said.append(
            "Found nothing, where no control showed that they would, and so count for nothing: "
            f"{', '.join(blind)}."
        )
    stated = [own.name for own in shared if own.guarantee is not None]
    if stated:
        said.append(
            "Not published, since they would be outside the guarantee that the hospital states: "
            f"{', '.join(stated)}."
        )
    rows = tuple(
        (
            own.name,
            attack.name,
            QUESTIONS.get(attack.name, ""),
            f"{attack.figure:.3f} [{attack.low:.3f}, {attack.high:.3f}]",
            f"{attack.unrelated:.3f}",
        )
        for own in shared
        for attack in own.attacks
    )
    columns = ("", "attack", "question", "figure [95%]", "where nothing is known")
    tables = (Table("Attacks on the images", columns, rows),) if rows else ()
    return Section("What attacks found", tuple(said), tables=tables)


def guarantees_section(shared: Sequence[Shared]) -> tuple[Section, ...]:
    """The guarantees that hospitals state of their bundles; no section where none does."""
    rows = tuple(
        (
            own.name,
            f"{own.guarantee.epsilon:g}",
            f"{own.guarantee.delta:g}",
            own.guarantee.mechanism,
            own.guarantee.accountant,
        )
        for own in shared
        if own.guarantee is not None
    )
    if not rows:
        return ()
    others = [own.name for own in shared if own.guarantee is None]
    without = (f"No guarantee is stated by: {', '.join(others)}.",) if others else ()
    columns = ("the site states", "ε", "δ", "mechanism", "accountant")
    return (
        Section(
            "What hospitals state as guaranteed",
            (
                "Differential privacy of each training patient. These are the hospitals' "
                "statements: nothing in a bundle lets anybody check them.",
                *without,
                OUTSIDE,
            ),
            tables=(Table("Guarantees", columns, rows),),
        ),
    )


def cost_section(seconds: Mapping[str, float], sizes: Mapping[str, int]) -> Section:
    """Times and bytes."""
    times = tuple((step, f"{spent:,.0f} s") for step, spent in seconds.items())
    moved = tuple((what, f"{size:,} bytes") for what, size in sizes.items())
    tables = [
        Table(caption, columns, rows)
        for caption, columns, rows in (
            ("Time", ("step", "wall-clock time"), times),
            ("Sizes", ("what", "size"), moved),
        )
        if rows
    ]
    return Section("Bytes and time", tables=tuple(tables))
