"""How well a score tells members from others: the AUC, true positives at few false ones, and how
few false ones so many patients can show at all.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from gdshare.audit.figures import Separation, TruePositives

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

FALSE_POSITIVES = (0.01, 0.001)
RESAMPLES = 400
DECIMALS = 4


@dataclass(frozen=True)
class Guesses:
    """Scores of candidates, whose membership is known to the auditor.

    Attributes:
        scores: float64 [k], higher for members.
        member: bool [k], the truth.
        patient: int64 [k], who it is: intervals resample these.
        positive: bool [k], the diagnosis.
    """

    scores: Float
    member: Bool
    patient: npt.NDArray[np.int64]
    positive: Bool


def separation(guesses: Guesses, generator: np.random.Generator) -> Separation:
    """Compare members with others of the same diagnosis.

    Args:
        guesses: at least a member and another of some diagnosis.
        generator: resamples patients for the interval.
    """
    area = _area(guesses, np.ones(len(guesses.scores)))
    names, place = np.unique(guesses.patient, return_inverse=True)
    strata = strata_of(guesses, place)
    draws = [
        _area(guesses, _weights(strata, len(names), generator)[place]) for _ in range(RESAMPLES)
    ]
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    others = int((~guesses.member).sum())
    return Separation(
        members=int(guesses.member.sum()),
        others=others,
        auc=round(area, DECIMALS),
        low=round(float(min(low, area)), DECIMALS),
        high=round(float(max(high, area)), DECIMALS),
        smallest=round(1.0 / others, 6),
        true_positives=tuple(true_positives(guesses, at) for at in FALSE_POSITIVES),
    )


def true_positives(guesses: Guesses, at: float) -> TruePositives:
    """The share of members whose score is above that of all but a share ``at`` of the others.

    The interval counts each score as if it were independent of the rest.
    """
    others = np.sort(guesses.scores[~guesses.member])[::-1]
    allowed = int(np.floor(at * len(others) + 1e-9))
    if not allowed:  # less than one of the others: any threshold might be too low
        return TruePositives(at=at)
    threshold = others[allowed] if allowed < len(others) else -np.inf
    scores = guesses.scores[guesses.member]
    hits = int((scores > threshold).sum())
    interval = binomtest(hits, len(scores)).proportion_ci(0.95, method="exact")
    return TruePositives(
        at=at,
        figure=round(hits / len(scores), DECIMALS),
        low=round(float(interval.low), DECIMALS),
        high=round(float(interval.high), DECIMALS),
    )


def _area(guesses: Guesses, weights: Float) -> float:
    """Share of pairs (member, other of the same diagnosis) in the right order; NaN without any."""
    right, pairs = 0.0, 0.0
    for diagnosis in (False, True):
        same = guesses.positive == diagnosis
        inside, outside = same & guesses.member, same & ~guesses.member
        if not inside.any() or not outside.any():
            continue
        order = np.argsort(guesses.scores[outside], kind="stable")
        scores, counts = guesses.scores[outside][order], weights[outside][order]
        below = np.concatenate([[0.0], np.cumsum(counts)])
        left = below[np.searchsorted(scores, guesses.scores[inside], "left")]
        up_to = below[np.searchsorted(scores, guesses.scores[inside], "right")]
        right += float(weights[inside] @ (left + up_to) / 2.0)
        pairs += float(weights[inside].sum() * counts.sum())
    return right / pairs if pairs else float("nan")


def strata_of(guesses: Guesses, place: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], ...]:
    """Patients that are resampled together: of a diagnosis, and always in, always out, or both."""
    count = int(place.max()) + 1
    inside = np.bincount(place, guesses.member, count) / np.bincount(place, minlength=count)
    positive = np.bincount(place, guesses.positive, count) > 0
    kind = 3 * positive + np.where(inside == 0, 0, np.where(inside == 1, 1, 2))
    return tuple(np.flatnonzero(kind == value) for value in np.unique(kind))


def _weights(
    strata: tuple[npt.NDArray[np.int64], ...], count: int, generator: np.random.Generator
) -> Float:
    weights = np.zeros(count)
    for rows in strata:
        np.add.at(weights, generator.choice(rows, len(rows)), 1.0)
    return weights
