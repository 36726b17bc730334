"""Classifying a cohort's films where they lie, and counting."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gdshare.cohort import Cohort, Split
from gdshare.errors import CohortError
from gdshare.films import read_film
from gdshare.metrics import (
    RESAMPLES,
    THRESHOLDS,
    Confusion,
    Interval,
    Intervals,
    auc,
    count,
    intervals,
    percentile_interval,
)
from gdshare.model import Model
from gdshare.vote import Votes, film_votes, predictor


@dataclass(frozen=True)
class FilmVote:
    """One film's votes with its truth. Stays at the hospital."""

    patient: str
    positive: bool
    votes: Votes


def cohort_votes(
    model: Model,
    cohort: Cohort,
    split: Split,
    device: str = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[FilmVote]:
    """Classify every film of one split, by the geometry the model was trained with.

    Raises:
        UsageError: the cohort was labelled by another protocol than the model's.
        CohortError: the split holds no film.
        FilmError: a film has gone or is damaged.
    """
    model.protocol.require_same(cohort.protocol, f"cohort {cohort.path}")
    films = cohort.films_of(split)
    if not films:
        raise CohortError(
            f"no film in the {split} split", cohort.path, "label it with such a share"
        )
    predict = predictor(model, device)
    votes: list[FilmVote] = []
    for film in films:
        found = film_votes(read_film(film.image, film.spacing_mm), cohort.protocol, predict)
        votes.append(FilmVote(film.patient, film.positive, found))
        progress(len(votes), len(films))
    return votes


def confusions(
    votes: Sequence[FilmVote], thresholds: Sequence[float] = THRESHOLDS
) -> list[Confusion]:
    """Count the films at each threshold."""
    ratios, indeterminate, positive = _columns(votes)
    return [count(ratios, indeterminate, positive, threshold) for threshold in thresholds]


@dataclass(frozen=True)
class LocalFigures:
    """What a hospital may compute about itself: counts at one ε, and AUC, with 95% intervals."""

    threshold: float
    confusion: Confusion
    intervals: Intervals
    auc: float
    auc_interval: Interval


def local_figures(
    votes: Sequence[FilmVote],
    threshold: float,
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
) -> LocalFigures:
    """Counts at ε and the AUC of the ratio, with intervals from resampling whole patients.

    Patients are drawn with replacement within each diagnosis, each bringing all its films.
    """
    ratios, indeterminate, positive = _columns(votes)
    strata = [_films_by_patient(votes, diagnosis) for diagnosis in (False, True)]
    samples = np.empty((resamples, 3))
    for index in range(resamples):
        drawn = np.concatenate([_draw(patients, generator) for patients in strata])
        again = count(ratios[drawn], indeterminate[drawn], positive[drawn], threshold)
        samples[index] = again.sensitivity, again.specificity, auc(ratios[drawn], positive[drawn])
    return LocalFigures(
        threshold,
        count(ratios, indeterminate, positive, threshold),
        intervals(samples[:, 0], samples[:, 1]),
        auc(ratios, positive),
        percentile_interval(samples[:, 2]),
    )


def _columns(
    votes: Sequence[FilmVote],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    return (
        np.array([film.votes.ratio for film in votes], np.float64),
        np.array([film.votes.indeterminate for film in votes], np.bool_),
        np.array([film.positive for film in votes], np.bool_),
    )


def _films_by_patient(votes: Sequence[FilmVote], positive: bool) -> list[npt.NDArray[np.int64]]:
    """For each patient of one diagnosis, the indices of their films."""
    films: dict[str, list[int]] = {}
    for index, film in enumerate(votes):
        if film.positive == positive:
            films.setdefault(film.patient, []).append(index)
    return [np.array(indices, np.int64) for indices in films.values()]


def _draw(
    patients: Sequence[npt.NDArray[np.int64]], generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Films of as many patients as there are, drawn with replacement."""
    if not patients:
        return np.empty(0, np.int64)
    chosen = generator.integers(len(patients), size=len(patients))
    return np.concatenate([patients[index] for index in chosen])
