"""Curves of a page: figures by model or site, ROC, ε, and the training of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from gdshare.metrics import Confusion, Interval
from gdshare.report.page import Picture
from gdshare.report.pictures import BLUE, GRAY, GREEN, INK, ORANGE, as_svg
from gdshare.suppression import Bounds, bounds
from gdshare.vote import Votes

COLOURS = (BLUE, ORANGE, GREEN, "#cc79a7", "#56b4e9", "#e69f00", GRAY)
"""Of sites, in their order (Okabe and Ito)."""


@dataclass(frozen=True)
class Bar:
    """A figure with its interval.

    Attributes:
        name: whose it is.
        value, interval: in [0, 1].
        main: whether the page is about it.
    """

    name: str
    value: float
    interval: Interval
    main: bool = False

    @property
    def text(self) -> str:
        """Such as ``0.77 [0.67, 0.85]``."""
        return with_interval(self.value, self.interval)


def with_interval(value: float, interval: Interval) -> str:
    """A figure for people; a dash where it does not exist."""
    if np.isnan(value):
        return "-"
    return f"{value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def figures_picture(bars: Sequence[Bar], figure: str, guess: float | None, name: str) -> Picture:
    """Figures below one another, each with its interval; the page's own in colour."""
    rows = list(reversed(bars))

    def paint(axes: Axes) -> None:
        for place, bar in enumerate(rows):
            colour = BLUE if bar.main else GRAY
            axes.annotate(
                bar.text, (1.02, place), xycoords=("axes fraction", "data"), va="center", color=INK
            )
            if np.isnan(bar.value):
                continue
            axes.plot(
                [bar.interval.low, bar.interval.high], [place] * 2, color=colour, linewidth=2.5
            )
            axes.plot([bar.value], [place], "o", color=colour, markersize=8)
        axes.set_yticks(range(len(rows)), [bar.name for bar in rows])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlim(0, 1)
        axes.set_xlabel(figure)
        if guess is not None:
            axes.axvline(guess, color=INK, linestyle=":", linewidth=1)
            axes.annotate(
                "guessing",
                (guess, 1.0),
                xycoords=("data", "axes fraction"),
                color=INK,
                ha="center",
                va="bottom",
                fontsize=8,
            )

    words = f"{figure}, with 95% intervals. " + "; ".join(f"{b.name}: {b.text}" for b in bars) + "."
    svg = as_svg(name, (8.5, 0.9 + 0.42 * len(rows)), paint)
    return Picture.drawn(svg, words, f"{figure}; lines are 95% intervals.")


def epsilon_picture(
    thresholds: Sequence[float], counts: Sequence[Confusion], chosen: float, whose: str
) -> Picture:
    """Sen, Spe and HM at every ε, with the ε that was fixed."""

    def paint(axes: Axes) -> None:
        for label, colour, values in (
            ("Sen", BLUE, [own.sensitivity for own in counts]),
            ("Spe", ORANGE, [own.specificity for own in counts]),
            ("HM", GREEN, [own.harmonic_mean for own in counts]),
        ):
            axes.plot(thresholds, values, label=label, color=colour)
        axes.axvline(chosen, color=INK, linestyle=":", label=f"ε = {chosen:.2f}")
        axes.set(xlabel="ε", ylabel="share", ylim=(-0.02, 1.02))
        axes.legend(frameon=False, labelcolor=INK)

    at = counts[int(np.argmin([abs(own - chosen) for own in thresholds]))]
    words = (
        f"Sensitivity, specificity and their harmonic mean on {whose}, at each ε from 0 to 1. "
        f"At {chosen:.2f}: {at.sensitivity:.2f}, {at.specificity:.2f}, {at.harmonic_mean:.2f}."
    )
    return Picture.drawn(as_svg("epsilon", (5.5, 3.6), paint), words, f"By ε, on {whose}.")


@dataclass(frozen=True)
class Ranking:
    """Films in the order of their ratio.

    Attributes:
        name: whose.
        ratios: float64 [films] in [0, 1]; below 0: indeterminate, called negative at any ε.
        positive: bool [films], the diagnosis.
        auc: of them; NaN where a diagnosis is absent.
    """

    name: str
    ratios: npt.NDArray[np.float64]
    positive: npt.NDArray[np.bool_]
    auc: float


def ranks(votes: Sequence[Votes]) -> npt.NDArray[np.float64]:
    """The films' ratios, float64 [films]; -1 for an indeterminate one, negative at any ε."""
    return np.array([-1.0 if own.indeterminate else own.ratio for own in votes], np.float64)


def roc_picture(rankings: Sequence[Ranking], chosen: float, whose: str) -> Picture | None:
    """ROC curves of films by their ratio, a point where ε is; None of films of one diagnosis."""
    drawn = [own for own in rankings if not np.isnan(own.auc)]
    if not drawn:
        return None

    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=GRAY, linestyle=":", linewidth=1)
        for place, own in enumerate(drawn):
            colour = COLOURS[place % len(COLOURS)]
            cuts = np.concatenate([[np.inf], np.unique(own.ratios)[::-1]])
            axes.plot(
                [(own.ratios[~own.positive] >= cut).mean() for cut in cuts],
                [(own.ratios[own.positive] >= cut).mean() for cut in cuts],
                color=colour,
                label=f"{own.name}: AUC {own.auc:.2f}",
            )
            at = own.ratios >= chosen
            axes.plot([at[~own.positive].mean()], [at[own.positive].mean()], "o", color=colour)
        axes.set(
            xlabel="1 - Spe", ylabel="Sen", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal"
        )
        axes.legend(frameon=False, labelcolor=INK, loc="lower right")

    words = f"ROC curves on {whose}. " + "; ".join(
        f"{own.name}: AUC {own.auc:.2f}" for own in drawn
    )
    return Picture.drawn(
        as_svg("roc", (4.6, 4.6), paint), f"{words}.", f"ROC on {whose}; points: ε = {chosen:.2f}."
    )


@dataclass(frozen=True)
class Training:
    """How a run went: patch scores on validation patients by training step."""

    name: str
    steps: Sequence[int]
    scores: Sequence[float]


def training_picture(trainings: Sequence[Training]) -> Picture:
    """Patch scores of one or several runs while they were trained."""
    several = len(trainings) > 1

    def paint(axes: Axes) -> None:
        for place, run in enumerate(trainings):
            label, colour = run.name if several else "this run", COLOURS[place % len(COLOURS)]
            axes.plot(run.steps, run.scores, label=label, color=colour)
        axes.axhline(1 / 3, color=INK, linestyle=":", linewidth=1, label="guessing")
        axes.set(xlabel="training step", ylabel="patch score")
        axes.legend(frameon=False, labelcolor=INK)

    best = "; ".join(f"{run.name}: at most {max(run.scores):.3f}" for run in trainings)
    words = f"Patch score on validation patients by training step. {best}. Guessing is 0.333."
    whose = "each hospital's own" if several else "the hospital's"
    caption = f"Patch score on {whose} validation patients, by which the images were chosen."
    return Picture.drawn(as_svg("training", (6.0, 3.6), paint), words, caption)


def by_epsilon(
    counts: Mapping[str, Sequence[Confusion]], suppress_below: Mapping[str, int]
) -> list[Confusion]:
    """Several sites' counts at each ε together: the middle of what they can stand for.

    Args:
        counts: site -> counts at each ε, as they were sent.
        suppress_below: site -> films that a cell holds at least; 1 where it is not named.
    """
    known = [
        [bounds(own, suppress_below.get(site, 1)) for own in sent] for site, sent in counts.items()
    ]
    nothing = Bounds(Confusion(0, 0, 0, 0), Confusion(0, 0, 0, 0))
    return [sum(own, nothing).middle for own in zip(*known, strict=True)]
