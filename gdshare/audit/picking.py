"""How often a member is picked from a line-up, of all line-ups there are.

A line-up is a member and N - 1 others of the same diagnosis; whoever scores highest is picked, and
of equals each as often. The share is computed, and not drawn. Of a member's ``k`` others let ``l``
score lower and ``e`` the same: over all choices of N - 1 of them the member is picked in the share

    Σ_j C(e, j) C(l, N - 1 - j) / ((j + 1) C(k, N - 1))
        = (C(l + e + 1, N) - C(l, N)) / ((e + 1) C(k, N - 1))

The right side follows from C(e, j) / (j + 1) = C(e + 1, j + 1) / (e + 1) and Vandermonde's sum.

A line-up has at most a quarter of the others. If all were in every line-up, a single other who
scores high would decide, and no interval could tell; of few others a small line-up tells more. The
interval leaves out each patient in turn (the
jackknife), on the scale of log odds. A bootstrap's would lie too high: it draws some of the others
twice, and so has fewer different ones in a line-up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import comb
from scipy.stats import binomtest

from gdshare.audit.likelihood import Bool, Float
from gdshare.audit.membership import comparable_diagnoses
from gdshare.audit.rates import Guesses, strata_of

MOST = 10
"""Patients in a line-up."""
SHARE = 4
"""One in so many of the others of a diagnosis is in a line-up, at most."""
NORMAL = 1.96
"""Standard errors on each side of a 95% interval."""
DECIMALS = 4


@dataclass(frozen=True)
class LineupSize:
    """Which line-ups there are.

    Attributes:
        people: N, at least 2.
        diagnoses: of whom there are line-ups.
    """

    people: int
    diagnoses: tuple[bool, ...]


@dataclass(frozen=True)
class Picked:
    """What came of all line-ups.

    Attributes:
        members, others: who were in them, counted once for each set of images.
        share, low, high: of line-ups in which the member is picked, and its 95% interval.
        median_rank: of members in their line-ups.
    """

    members: int
    others: int
    share: float
    low: float
    high: float
    median_rank: float


@dataclass(frozen=True)
class _Side:
    """Members or others of a diagnosis: their scores float64 [k], and who they are, int64 [k]."""

    scores: Float
    patient: npt.NDArray[np.int64]


def lineup_size(positive: Bool, member: Bool) -> LineupSize:
    """At most ``MOST``, the member and at most a quarter of the others of a diagnosis.

    Args:
        positive, member: bool [n], of all patients; at least one diagnosis is comparable.
    """
    diagnoses = comparable_diagnoses(positive[member], positive[~member])
    others = [int((~member & (positive == own)).sum()) for own in diagnoses]
    return LineupSize(min(MOST, 1 + min(others) // SHARE), diagnoses)


def pick_chances(members: Float, others: Float, weights: Float, people: int) -> Float:
    """The share of each member's line-ups in which that member is picked.

    Args:
        members: float64 [m], scores.
        others: float64 [k], scores of others of the same diagnosis.
        weights: float64 [k], 1, or 0 for whoever is left out; at least ``people`` - 1 are 1.
        people: in a line-up.

    Returns:
        float64 [m].
    """
    lower, equal, count = _below(members, others, weights)
    right = comb(lower + equal + 1.0, people) - comb(lower, people)
    return np.asarray(right / ((equal + 1.0) * comb(count, people - 1)))


def pick(boards: Sequence[Guesses], size: LineupSize) -> Picked:
    """Hold all line-ups.

    Args:
        boards: the scores under each set of images. A line-up is held within one of them.
        size: of line-ups.
    """
    last = max(int(board.patient.max()) for board in boards)
    share = _share(boards, size, np.ones(last + 1))
    members, others = (
        sum(len(sides[kind].scores) for sides in _sides(boards, size)) for kind in (0, 1)
    )
    low, high = _interval(share, _standard_error(boards, size, last), members)
    return Picked(
        members=members,
        others=others,
        share=round(share, DECIMALS),
        low=round(low, DECIMALS),
        high=round(high, DECIMALS),
        median_rank=round(_median_rank(boards, size), 2),
    )


def _sides(boards: Sequence[Guesses], size: LineupSize) -> Iterator[tuple[_Side, _Side]]:
    """Members and others between whom line-ups are held: of a set of images and a diagnosis."""
    for board in boards:
        for diagnosis in size.diagnoses:
            same = board.positive == diagnosis
            inside, outside = same & board.member, same & ~board.member
            yield (
                _Side(board.scores[inside], board.patient[inside]),
                _Side(board.scores[outside], board.patient[outside]),
            )


def _below(members: Float, others: Float, weights: Float) -> tuple[Float, Float, float]:
    """How many others score lower than each member, how many the same, and how many there are."""
    order = np.argsort(others, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(weights[order])])
    lower = sums[np.searchsorted(others[order], members, "left")]
    return lower, sums[np.searchsorted(others[order], members, "right")] - lower, float(sums[-1])


def _share(boards: Sequence[Guesses], size: LineupSize, weights: Float) -> float:
    """The mean of all members' chances; 0 without members.

    Args:
        boards, size: as for ``pick``.
        weights: float64 by patient's number, 0 for whoever is left out.
    """
    picked, members = 0.0, 0.0
    for inside, outside in _sides(boards, size):
        own, their = weights[inside.patient], weights[outside.patient]
        picked += float(own @ pick_chances(inside.scores, outside.scores, their, size.people))
        members += float(own.sum())
    return picked / members if members else 0.0


def _standard_error(boards: Sequence[Guesses], size: LineupSize, last: int) -> float:
    """The jackknife's: each patient is left out in turn, from all boards.

    Patients of a diagnosis who are always in, always out, or both are a stratum of their own.
    """
    whole = Guesses(
        np.concatenate([board.scores for board in boards]),
        np.concatenate([board.member for board in boards]),
        np.concatenate([board.patient for board in boards]),
        np.concatenate([board.positive for board in boards]),
    )
    names, place = np.unique(whole.patient, return_inverse=True)
    variance = 0.0
    for rows in strata_of(whole, place):
        shares = np.empty(len(rows))
        for at, patient in enumerate(names[rows]):
            weights = np.ones(last + 1)
            weights[patient] = 0.0
            shares[at] = _share(boards, size, weights)
        variance += (len(rows) - 1) * float(shares.var())
    return float(np.sqrt(variance))


def _interval(share: float, error: float, members: int) -> tuple[float, float]:
    """A 95% interval from a standard error, on the scale of log odds.

    A share of 0 or 1 counts there as half a member picked, or not picked, and the interval is at
    least Wilson's of so many members.
    """
    least = 0.5 / (members + 1)
    inner = min(max(share, least), 1.0 - least)
    middle, reach = np.log(inner / (1.0 - inner)), NORMAL * error / (inner * (1.0 - inner))
    low, high = (1.0 / (1.0 + np.exp(-(middle + side * reach))) for side in (-1.0, 1.0))
    if share == 0.0:
        return 0.0, max(float(high), _wilson(0, members)[1])
    if share == 1.0:
        return min(float(low), _wilson(members, members)[0]), 1.0
    return min(float(low), share), max(float(high), share)


def _wilson(picked: int, members: int) -> tuple[float, float]:
    found = binomtest(picked, members).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)


def _median_rank(boards: Sequence[Guesses], size: LineupSize) -> float:
    """The median of members' mean ranks in their line-ups; the last rank without members."""
    ranks: list[float] = []
    for inside, outside in _sides(boards, size):
        everyone = np.ones(len(outside.scores))
        lower, equal, count = _below(inside.scores, outside.scores, everyone)
        above = count - lower - equal / 2.0
        ranks += (1.0 + (size.people - 1) * above / count).tolist()
    return float(np.median(ranks)) if ranks else float(size.people)
