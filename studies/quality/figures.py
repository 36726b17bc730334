"""Figures of merit of whole films from what networks saw in them. Pure functions on arrays.

Two ways from windows to a film's ratio P / (P + N) (Li et al. 2020, Eq. 4, has the first):

``votes``
    P and N count the windows that the networks of a team call so, all votes together.
``probabilities``
    P and N sum the probabilities of P and of N, each network's over the windows which that network
    itself calls N or P: windows outside the organ may tell the diagnosis by markers and framing
    (docs/adr/0010-five-networks-vote-together.md).

Four rules for ε, at or above which a film is called positive: ``source``, its fixed 0.4;
``coarse`` and ``fine``, the ε of best HM on the fold's validation films in steps of 0.05 and 0.01;
``own``, each hospital's films at the ε of best HM on its own validation films, in steps of 0.05.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Literal

import numpy as np
import numpy.typing as npt

from gdshare.metrics import (
    SOURCE_THRESHOLD,
    THRESHOLDS,
    Confusion,
    auc,
    best_threshold,
    count,
)
from gdshare.protocol import PatchClass

Way = Literal["votes", "probabilities"]
Rule = Literal["source", "coarse", "fine", "own"]
Team = tuple[int, ...]

FINE_THRESHOLDS: tuple[float, ...] = tuple(round(0.01 * step, 2) for step in range(101))

PRIMARY: tuple[Way, Rule] = ("votes", "coarse")
"""The reading that the product ships, named before any figure was seen."""

READINGS: tuple[tuple[Way, Rule], ...] = (
    PRIMARY,
    ("votes", "source"),
    ("probabilities", "source"),
    ("probabilities", "coarse"),
    ("probabilities", "fine"),
    ("votes", "own"),
)
"""The ways of reading films that are reported, the primary first; summed probabilities may part
films within a narrow range of ratios, so they get finer steps as well. The last was added after the
figures of the others had been seen, for what they showed: an ε for all, and one hospital's films
nearly all on one side of it."""


@dataclass(frozen=True)
class Films:
    """Films of one split of one fold, as a set of networks saw them.

    Attributes:
        site: int64 [films], index of the hospital.
        patient: int64 [films], number of the patient at the hospital.
        positive: bool [films], the diagnosis.
        votes: float64 [networks, films, 3], windows called I, N, P.
        sums: float64 [networks, films, 3], probabilities of I, N, P summed over the windows that
            the network calls N or P.
    """

    site: npt.NDArray[np.int64]
    patient: npt.NDArray[np.int64]
    positive: npt.NDArray[np.bool_]
    votes: npt.NDArray[np.float64]
    sums: npt.NDArray[np.float64]

    def at(self, site: int) -> "Films":
        """One hospital's films alone."""
        return self.where(self.site == site)

    def where(self, wanted: npt.NDArray[np.bool_]) -> "Films":
        """Some of the films: bool [films]."""
        return Films(
            self.site[wanted],
            self.patient[wanted],
            self.positive[wanted],
            self.votes[:, wanted],
            self.sums[:, wanted],
        )


@dataclass(frozen=True)
class Verdicts:
    """One fold's test films as a team of networks judged them.

    Attributes:
        site, patient, positive: as in ``Films``.
        ratio: float64 [films] in [0, 1].
        indeterminate: bool [films], no window called N or P; called negative whatever ε.
        threshold: float64 [films], ε.
    """

    site: npt.NDArray[np.int64]
    patient: npt.NDArray[np.int64]
    positive: npt.NDArray[np.bool_]
    ratio: npt.NDArray[np.float64]
    indeterminate: npt.NDArray[np.bool_]
    threshold: npt.NDArray[np.float64]

    @property
    def called(self) -> npt.NDArray[np.bool_]:
        """Bool [films]: called positive."""
        return (self.ratio >= self.threshold) & ~self.indeterminate

    def at(self, site: int) -> "Verdicts":
        """Of one hospital's films alone."""
        here = self.site == site
        return Verdicts(
            self.site[here],
            self.patient[here],
            self.positive[here],
            self.ratio[here],
            self.indeterminate[here],
            self.threshold[here],
        )


@dataclass(frozen=True)
class Merit:
    """Figures of one model over all folds: counts summed, AUC averaged.

    The scores of different folds' models cannot be compared, so the AUC is taken within each fold;
    it is NaN when a fold lacks a diagnosis.
    """

    confusion: Confusion
    auc: float


def ratios(
    films: Films, team: Team, way: Way
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Each film's ratio by a team of networks, and whether it is indeterminate.

    Returns:
        float64 [films], 0 where the film is indeterminate; bool [films], without N and P votes,
        which is the same by both ways.
    """
    votes = films.votes[list(team)].sum(0)
    tally = votes if way == "votes" else films.sums[list(team)].sum(0)
    p, total = tally[:, PatchClass.P], tally[:, PatchClass.N] + tally[:, PatchClass.P]
    ratio = np.divide(p, total, out=np.zeros_like(p), where=total > 0)
    return ratio, votes[:, PatchClass.N] + votes[:, PatchClass.P] == 0


def threshold(films: Films, team: Team, way: Way, rule: Rule) -> float:
    """The ε that a rule gives a team, from validation films.

    Raises:
        UsageError: there is no validation film.
    """
    if rule == "source":
        return SOURCE_THRESHOLD
    ratio, indeterminate = ratios(films, team, way)
    tried = FINE_THRESHOLDS if rule == "fine" else THRESHOLDS
    counts = [count(ratio, indeterminate, films.positive, one) for one in tried]
    return best_threshold(counts, tried)


def judge(val: Films, test: Films, team: Team, way: Way, rule: Rule) -> Verdicts:
    """Judge a fold's test films at the ε that its validation films give.

    Raises:
        UsageError: there is no validation film; with ``own``, none of a hospital that has test
            films.
    """
    ratio, indeterminate = ratios(test, team, way)
    epsilon = np.zeros(len(ratio))
    if rule == "own":
        for site in np.unique(test.site):
            epsilon[test.site == site] = threshold(val.at(site), team, way, rule)
    else:
        epsilon[:] = threshold(val, team, way, rule)
    return Verdicts(test.site, test.patient, test.positive, ratio, indeterminate, epsilon)


def merit(folds: Sequence[Verdicts]) -> Merit:
    """One model's figures over all folds."""
    counts = [count(v.ratio, v.indeterminate, v.positive, v.threshold) for v in folds]
    areas = [auc(v.ratio, v.positive) for v in folds]
    return Merit(reduce(add, counts), float(np.mean(areas)))
