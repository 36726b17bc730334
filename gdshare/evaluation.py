"""Classifying a cohort's films at the hospital, and counting."""

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
from gdshare.proportions import around, count_intervals, ranking_interval, resampled_share
from gdshare.vote import Votes, film_votes, predictor


@dataclass(frozen=True)
class FilmVote:
    """A film's votes and its diagnosis. It stays at the hospital."""

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
    """Classify every film of a split, cut by the model's protocol.

    Raises:
        ModelError: the model is of other classes than I, N and P.
        UsageError: the cohort was labelled by another protocol than the model's.
        CohortError: the split has no film.
        FilmError: a film is missing or damaged.
    """
    model.require_patch_classes()
    model.protocol.require_same(cohort.protocol, f"cohort {cohort.path}")
    films = cohort.films_of(split)
    if not films:
        raise CohortError(
            f"no film in the {split} split", cohort.path, f"label it with a {split} share"
        )
    predict = predictor(model, device)
    votes: list[FilmVote] = []
    for film in films:
        pixels = read_film(film.image, film.spacing_mm)
        counted = film_votes(pixels, cohort.protocol, predict)
        votes.append(FilmVote(film.patient, film.positive, counted))
        progress(len(votes), len(films))
    return votes


def confusions(
    votes: Sequence[FilmVote], thresholds: Sequence[float] = THRESHOLDS
) -> list[Confusion]:
    """Count the films at every threshold."""
    ratios, indeterminate, positive = _columns(votes)
    return [count(ratios, indeterminate, positive, threshold) for threshold in thresholds]


@dataclass(frozen=True)
class LocalFigures:
    """A hospital's figures of merit on its own films, with 95% intervals.

    Attributes:
        threshold: ε.
        confusion: counts at ε.
        intervals: of Sen, Spe and HM.
        auc, auc_interval: of the ratio; NaN when a diagnosis is absent.
    """

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
    """Counts at ε and the AUC of the ratio, with intervals that count patients, not films.

    Where each patient has one film, Sen and Spe have Wilson's intervals, and the AUC Newcombe's.
    Where some have several, patients are drawn with replacement within each diagnosis, each with
    all their films; a share of 0 or 1, which that cannot vary, is resampled as
    ``gdshare.proportions`` says.
    """
    ratios, indeterminate, positive = _columns(votes)
    strata = [_films_by_patient(votes, diagnosis) for diagnosis in (False, True)]
    samples = np.empty((resamples, 3))
    for index in range(resamples):
        rows = np.concatenate([_resample(patients, generator) for patients in strata])
        sample = count(ratios[rows], indeterminate[rows], positive[rows], threshold)
        samples[index] = sample.sensitivity, sample.specificity, auc(ratios[rows], positive[rows])
    confusion = count(ratios, indeterminate, positive, threshold)
    negatives, positives = (len(patients) for patients in strata)
    ranking = auc(ratios, positive)
    return LocalFigures(
        threshold,
        confusion,
        _intervals(confusion, samples[:, :2], (positives, negatives), generator),
        ranking,
        _ranking_interval(ranking, samples[:, 2], positives, negatives, len(votes)),
    )


def _ranking_interval(
    value: float, samples: npt.NDArray[np.float64], positives: int, negatives: int, films: int
) -> Interval:
    """Of the AUC; by drawing patients again where some have several films and it varies."""
    if films == positives + negatives or value in (0.0, 1.0):
        return ranking_interval(value, positives, negatives)
    return percentile_interval(samples)


def _intervals(
    confusion: Confusion,
    samples: npt.NDArray[np.float64],
    patients: tuple[int, int],
    generator: np.random.Generator,
) -> Intervals:
    """Of Sen, Spe and HM.

    Args:
        confusion: of all films.
        samples: float64 [resamples, 2], Sen and Spe of patients drawn again.
        patients: positive and negative ones.
        generator: advanced.
    """
    if confusion.films == sum(patients):
        return count_intervals(confusion, generator, resamples=len(samples))
    varied = samples.copy()
    for column, share in enumerate((confusion.sensitivity, confusion.specificity)):
        if share in (0.0, 1.0):
            right = share * patients[column]
            wrong = patients[column] - right
            varied[:, column] = resampled_share(right, wrong, generator, len(samples))
    return around(confusion, intervals(varied[:, 0], varied[:, 1]))


def _columns(
    votes: Sequence[FilmVote],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    return (
        np.array([film.votes.ratio for film in votes], np.float64),
        np.array([film.votes.indeterminate for film in votes], np.bool_),
        np.array([film.positive for film in votes], np.bool_),
    )


def _films_by_patient(votes: Sequence[FilmVote], positive: bool) -> list[npt.NDArray[np.int64]]:
    """For each patient of a diagnosis, the indices of their films."""
    films: dict[str, list[int]] = {}
    for index, film in enumerate(votes):
        if film.positive == positive:
            films.setdefault(film.patient, []).append(index)
    return [np.array(indices, np.int64) for indices in films.values()]


def _resample(
    patients: Sequence[npt.NDArray[np.int64]], generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Films of as many patients, drawn with replacement."""
    if not patients:
        return np.empty(0, np.int64)
    places = generator.integers(len(patients), size=len(patients))
    return np.concatenate([patients[place] for place in places])
