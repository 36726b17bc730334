"""The page of an evaluation: a model on a hospital's own films. It shows some; it stays inside."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gdshare.cohort.store import CohortFilm
from gdshare.evaluation import FilmVote, LocalFigures, confusions
from gdshare.metrics import SOURCE_TABLE, THRESHOLDS
from gdshare.model import Model
from gdshare.report.curves import (
    Bar,
    Ranking,
    epsilon_picture,
    figures_picture,
    ranks,
    roc_picture,
)
from gdshare.report.film_pictures import COLOURS, JudgedFilm, extremes, judged_picture
from gdshare.report.page import Page, Section, Table
from gdshare.report.sections import FIGURES, existing, figures_row, number, reached
from gdshare.vote import predictor

FLATTERS = "ε was chosen on these very films, so the figures at ε flatter."
SHOWN = 3
"""Films of each kind."""


@dataclass(frozen=True)
class Evaluation:
    """What was evaluated, and how.

    Attributes:
        model: the model.
        votes: on each film.
        films: the same films, in the same order.
        figures: at ε.
        epsilon_from: where ε comes from.
        chosen_here: whether ε was chosen on these very films.
        whose: such as "test films of cohort".
        command: that makes the page again.
    """

    model: Model
    votes: Sequence[FilmVote]
    films: Sequence[JudgedFilm]
    figures: LocalFigures
    epsilon_from: str
    chosen_here: bool
    whose: str
    command: str


def judged(films: Sequence[CohortFilm], votes: Sequence[FilmVote]) -> list[JudgedFilm]:
    """A cohort's films with the votes on them, in one order."""
    return [
        JudgedFilm(film.image.name, film.image, film.spacing_mm, film.positive, vote.votes)
        for film, vote in zip(films, votes, strict=True)
    ]


def evaluation_page(evaluation: Evaluation, device: str = "cpu") -> Page:
    """The page.

    Args:
        evaluation: what to show.
        device: to classify the films that are shown on.

    Raises:
        FilmError: a film to be shown is gone or damaged.
    """
    figures, epsilon = evaluation.figures, evaluation.figures.threshold
    counts, known = figures.confusion, figures.intervals
    patients = len({vote.patient for vote in evaluation.votes})
    sensitivity, specificity, harmonic_mean = existing(counts)
    bars = [
        Bar("Sen at ε", sensitivity, known.sensitivity),
        Bar("Spe at ε", specificity, known.specificity),
        Bar("HM at ε", harmonic_mean, known.harmonic_mean, main=True),
    ]
    if not np.isnan(figures.auc):
        bars.append(Bar("AUC", figures.auc, figures.auc_interval))
    ranking = Ranking(
        "these films",
        ranks([vote.votes for vote in evaluation.votes]),
        np.array([vote.positive for vote in evaluation.votes], np.bool_),
        figures.auc,
    )
    roc = roc_picture([ranking], epsilon, evaluation.whose)
    curve = epsilon_picture(THRESHOLDS, confusions(evaluation.votes), epsilon, evaluation.whose)
    return Page(
        "An evaluation of a model on a hospital's own films",
        f"The model reaches {reached(harmonic_mean, known.harmonic_mean)} on {counts.films} "
        f"{evaluation.whose}, of {number(patients, 'patient')}.",
        figures_picture(bars, f"figures, ε = {epsilon:.2f}", None, "figures"),
        (
            f"ε: {evaluation.epsilon_from}. This page shows films: it stays in the hospital.",
            *((FLATTERS,) if evaluation.chosen_here else ()),
        ),
        (
            Section(
                "Figures",
                ("Intervals are 95%, over patients.",),
                tables=(
                    Table("At ε", FIGURES, (figures_row("this model", counts, known),)),
                    _source(),
                ),
            ),
            Section(
                "Ranking and threshold",
                pictures=tuple(own for own in (roc, curve) if own is not None),
            ),
            _films(evaluation, device),
            Section(
                "Where this comes from",
                (f"Model: {len(evaluation.model.ensemble)} {evaluation.model.network}.",),
                commands=(evaluation.command,),
            ),
        ),
    )


def _films(evaluation: Evaluation, device: str) -> Section:
    epsilon = evaluation.figures.threshold
    predict = predictor(evaluation.model, device)
    right, wrong = extremes(evaluation.films, epsilon, SHOWN)
    pictures = tuple(
        judged_picture(film, evaluation.model.protocol, predict, epsilon)
        for film in (*right, *wrong)
    )
    none = () if wrong else ("No film is called wrongly.",)
    return Section("The clearest hits and the worst misses", (COLOURS, *none), pictures)


def _source() -> Table:
    rows = tuple(
        (method, str(images), f"{sen:.3f}", f"{spe:.3f}", f"{hm:.3f}")
        for method, images, sen, spe, hm in SOURCE_TABLE
    )
    return Table(
        "Li et al. 2020, on other data, for orientation only",
        ("method", "images", "Sen", "Spe", "HM"),
        rows,
    )
