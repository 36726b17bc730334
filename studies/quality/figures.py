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

Two models are compared by a paired bootstrap of patients, within each fold, site and diagnosis, at
the ε that was fixed before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gdshare.errors import RunError
from gdshare.metrics import SOURCE_THRESHOLD, THRESHOLDS, Confusion, auc, best_threshold, count
from gdshare.protocol import PatchClass
from studies.tables import Difference, Float, interval, mean, resamples

Way = Literal["votes", "probabilities"]
Rule = Literal["source", "coarse", "fine", "own"]
Team = tuple[int, ...]  # the places of networks that vote together
Bool = npt.NDArray[np.bool_]
Int = npt.NDArray[np.int64]

FINE_THRESHOLDS: tuple[float, ...] = tuple(round(0.01 * step, 2) for step in range(101))

# What the product ships; named before any figure was seen.
PRIMARY: tuple[Way, Rule] = ("votes", "coarse")
READINGS: tuple[tuple[Way, Rule], ...] = (
    PRIMARY,
    ("votes", "source"),
    ("probabilities", "source"),
    ("probabilities", "coarse"),
    ("probabilities", "fine"),
    ("votes", "own"),
)
"""Those reported. Summed probabilities may part films within a narrow range of ratios, so they get
finer steps as well. The last was added for what the others showed: one ε for all, and one
hospital's films nearly all on one side of it."""


@dataclass(frozen=True)
class Films:
    """Films of one split of one fold, as a set of networks saw them."""

    site: Int  # [films], index of the hospital
    patient: Int  # [films], number of the patient at the hospital
    positive: Bool  # [films], the diagnosis
    votes: Float  # [networks, films, 3], windows called I, N, P
    sums: Float  # [networks, films, 3], probabilities summed over the windows called N or P

    def where(self, wanted: npt.NDArray[Any]) -> "Films":
        """Some of the films: bool [films]."""
        site, patient, positive = (a[wanted] for a in (self.site, self.patient, self.positive))
        return Films(site, patient, positive, self.votes[:, wanted], self.sums[:, wanted])


@dataclass(frozen=True)
class Verdicts:
    """Films as a team of networks judged them; an indeterminate one is called negative."""

    site: Int  # [films]
    positive: Bool  # [films]
    ratio: Float  # [films] in [0, 1]
    indeterminate: Bool  # [films], no window called N or P
    threshold: Float  # [films], ε

    @property
    def called(self) -> Bool:
        """Called positive."""
        return (self.ratio >= self.threshold) & ~self.indeterminate

    def at(self, site: int) -> "Verdicts":
        """Of one hospital's films alone."""
        return Verdicts(*(array[self.site == site] for array in vars(self).values()))


@dataclass(frozen=True)
class Merit:
    """Figures of one model over all folds."""

    confusion: Confusion  # summed
    auc: float  # averaged: scores of different models cannot be compared; NaN without a diagnosis


def ratios(films: Films, team: Team, way: Way) -> tuple[Float, Bool]:
    """Each film's ratio by a team of networks, and whether it is indeterminate: without N and P
    votes, which is the same by both ways; its ratio is 0.
    """
    votes = films.votes[list(team)].sum(0)
    tally = votes if way == "votes" else films.sums[list(team)].sum(0)
    p, total = tally[:, PatchClass.P], tally[:, PatchClass.N] + tally[:, PatchClass.P]
    ratio = np.divide(p, total, out=np.zeros_like(p), where=total > 0)
    return ratio, votes[:, PatchClass.N] + votes[:, PatchClass.P] == 0


def threshold(films: Films, team: Team, way: Way, rule: Rule) -> float:
    """The ε that a rule gives a team, from validation films; UsageError without any."""
    if rule == "source":
        return SOURCE_THRESHOLD
    ratio, indeterminate = ratios(films, team, way)
    tried = FINE_THRESHOLDS if rule == "fine" else THRESHOLDS
    counts = [count(ratio, indeterminate, films.positive, epsilon) for epsilon in tried]
    return best_threshold(counts, tried)


def judge(val: Films, test: Films, team: Team, way: Way, rule: Rule) -> Verdicts:
    ratio, indeterminate = ratios(test, team, way)
    epsilon = np.zeros(len(ratio))
    if rule == "own":
        for site in np.unique(test.site):
            own = val.where(val.site == site)
            epsilon[test.site == site] = threshold(own, team, way, rule)
    else:
        epsilon[:] = threshold(val, team, way, rule)
    return Verdicts(test.site, test.positive, ratio, indeterminate, epsilon)


def judge_without_oneself(val: Films, team: Team, rule: Rule) -> Verdicts:
    """Judge a fold's validation films by votes, each patient's at the ε of the other patients.

    No test patient has a part in it, so a rule for ε may be chosen by what comes out.
    """
    ratio, indeterminate = ratios(val, team, "votes")
    epsilon = np.empty(len(ratio))
    for site, patient in sorted(set(zip(val.site.tolist(), val.patient.tolist(), strict=True))):
        here = (val.site == site) & (val.patient == patient)
        if (val.site == site).sum() == here.sum():
            raise RunError("a hospital has one validation patient, so none is left to fix ε by")
        judged = judge(val.where(~here), val.where(here), team, "votes", rule)
        epsilon[here] = judged.threshold
    return Verdicts(val.site, val.positive, ratio, indeterminate, epsilon)


def merit(folds: Sequence[Verdicts]) -> Merit:
    counts = [count(v.ratio, v.indeterminate, v.positive, v.threshold) for v in folds]
    areas = [auc(v.ratio, v.positive) for v in folds]
    return Merit(reduce(add, counts), mean(areas))


@dataclass(frozen=True)
class Resampled:
    """A model's figures as observed and on every resample; of several models, their means."""

    harmonic_mean: float
    auc: float
    harmonic_means: Float  # [resamples]
    aucs: Float  # [resamples]


def weights(films: Films, generator: np.random.Generator, count: int) -> Float:
    """How often each film of a fold occurs in each resample: float64 [count, films]."""
    return resamples(2 * films.site + films.positive, films.patient, generator, count)


def resampled(models: Sequence[Sequence[Verdicts]], drawn: Sequence[Float]) -> Resampled:
    """Figures of models, each given by its folds' verdicts, on every fold's ``weights``."""
    merits = [merit(folds) for folds in models]
    return Resampled(
        mean([own.confusion.harmonic_mean for own in merits]),
        mean([own.auc for own in merits]),
        np.mean([_harmonic_means(folds, drawn) for folds in models], axis=0),
        np.mean([_aucs(folds, drawn) for folds in models], axis=0),
    )


def difference(first: Resampled, second: Resampled) -> tuple[Difference, Difference]:
    """HM and AUC of the first minus the second's; above 0 the first is better."""
    hms, aucs = first.harmonic_means - second.harmonic_means, first.aucs - second.aucs
    hm = Difference(first.harmonic_mean - second.harmonic_mean, *interval(hms))
    return hm, Difference(first.auc - second.auc, *interval(aucs))


def _harmonic_means(folds: Sequence[Verdicts], drawn: Sequence[Float]) -> Float:
    """HM of the counts summed over folds, on each resample: float64 [resamples]."""
    tp, positives, tn, negatives = (np.zeros(len(drawn[0])) for _ in range(4))
    for verdicts, times in zip(folds, drawn, strict=True):
        called, positive = verdicts.called, verdicts.positive
        tp += times @ (called & positive)
        tn += times @ (~called & ~positive)
        positives += times @ positive
        negatives += times @ ~positive
    sensitivity, specificity = tp / np.maximum(positives, 1), tn / np.maximum(negatives, 1)
    total, both = sensitivity + specificity, 2 * sensitivity * specificity
    return np.divide(both, total, out=np.zeros_like(total), where=total > 0)


def _aucs(folds: Sequence[Verdicts], drawn: Sequence[Float]) -> Float:
    """Mean over folds of the AUC, on each resample: float64 [resamples], NaN without a diagnosis.

    Every pair of a positive and a negative film counts as often as both its films were drawn.
    """
    means = np.zeros(len(drawn[0]))
    for verdicts, times in zip(folds, drawn, strict=True):
        ratio, positive = verdicts.ratio, verdicts.positive
        if positive.all() or not positive.any():
            return np.full_like(means, np.nan)
        gap = ratio[positive][:, None] - ratio[~positive][None, :]
        wins = (gap > 0) + 0.5 * (gap == 0)
        above, below = times[:, positive], times[:, ~positive]
        pairs = above.sum(1) * below.sum(1)
        means += np.einsum("rp,rp->r", above, below @ wins.T) / pairs / len(folds)
    return means
