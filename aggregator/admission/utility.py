"""Whether networks trained from a bundle alone can tell positive from negative patients.

The figure is the AUC of the vote ratio (left side of Eq. 4): how often a positive patient ranks
above a negative one; 0.5 is chance, and flipped labels give less. The rule is a permutation test:
the diagnoses are shuffled among the patients of each place, and a bundle *beats chance* when at
most 5% of the shuffles give an AUC as high. Beyond ``MOST_SHUFFLED`` films the share is not drawn
but read off the normal curve of the same mean and variance (Wilcoxon's test, by place, with ties).
So a useless bundle passes one time in twenty,
whatever the number of films; how often a good one passes depends on that number. With fewer than
``LEAST_FILMS`` of either diagnosis, a bundle of AUC 0.70 would fail more than one time in five, so
nothing is concluded from them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import norm, rankdata
from torch import Tensor, nn

from gdshare.cohort import SPLITS, Cohort
from gdshare.errors import CohortError
from gdshare.messages import Counts
from gdshare.metrics import Confusion
from gdshare.model import Model
from gdshare.networks import Parameters, build, forward
from gdshare.patch_tensors import FORWARD_BATCH
from gdshare.patches import normalise
from gdshare.protocol import PatchClass
from gdshare.seeding import numpy_generator
from gdshare.suppression import bounds

ERROR_RATE = 0.05
LEAST_FILMS = 25
PERMUTATIONS = 9999
MOST_SHUFFLED = 300
"""Films of a permutation test; it takes 30 ms there, and as many times that as there are bundles.
With more films the two differ by less than shuffles of another seed do."""
BLOCK = 10**7
"""Ranks shuffled at a time, 80 MB; a hospital says how many films it has."""
WINDOWS = 16
"""Of a reference patient; further windows of the same film add little."""

Floats = npt.NDArray[np.float64]

Asked = Literal["reference patients", "validation films"]


@dataclass(frozen=True)
class Ranking:
    """Patients or films of one place, as networks rank them.

    Attributes:
        values: float64 [n], higher is more positive.
        positive: bool [n], the diagnosis.
    """

    values: npt.NDArray[np.float64]
    positive: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Utility:
    """How well networks trained from one bundle alone rank films they have not seen.

    Attributes:
        asked: which films.
        positives, negatives: how many.
        auc: within places, over all of them.
        p: share of shuffled diagnoses that give as high an AUC, drawn or expected.
    """

    asked: Asked
    positives: int
    negatives: int
    auc: float
    p: float

    @property
    def tested(self) -> bool:
        """Whether there are enough films to conclude anything."""
        return min(self.positives, self.negatives) >= LEAST_FILMS

    @property
    def beats_chance(self) -> bool:
        """The permutation test's verdict."""
        return self.p <= ERROR_RATE


@dataclass(frozen=True)
class Reference:
    """Labelled patches of the operator's own.

    Attributes:
        x: windows inside the organ, float32 [n, 1, side, side], normalised.
        patients: int64 [n], index of each window's patient.
        positive: bool [patients].
    """

    x: Tensor
    patients: npt.NDArray[np.int64]
    positive: npt.NDArray[np.bool_]


def utility_of(
    asked: Asked, places: Sequence[Ranking], generator: np.random.Generator
) -> Utility | None:
    """Test one bundle's rankings against chance; None if no place has both diagnoses.

    Args:
        asked: which films they are.
        places: rankings are compared within each, since films of two places may differ in looks.
        generator: shuffles the diagnoses, if films are few.
    """
    usable = [place for place in places if 0 < place.positive.sum() < len(place.positive)]
    if not usable:
        return None
    positives = [int(place.positive.sum()) for place in usable]
    negatives = [int((~place.positive).sum()) for place in usable]
    ranks = [rankdata(place.values) for place in usable]
    observed = sum(
        float(own[place.positive].sum()) - n * (n + 1) / 2
        for own, place, n in zip(ranks, usable, positives, strict=True)
    )
    if sum(map(len, ranks)) <= MOST_SHUFFLED:
        p = shuffled_p(observed, ranks, positives, generator)
    else:
        p = normal_p(observed, ranks, positives)
    pairs = sum(n * m for n, m in zip(positives, negatives, strict=True))
    return Utility(asked, sum(positives), sum(negatives), observed / pairs, p)


def shuffled_p(
    observed: float,
    ranks: Sequence[Floats],
    positives: Sequence[int],
    generator: np.random.Generator,
) -> float:
    """The share of shuffles that rank at least as many pairs correctly, the observed one included.

    Args:
        observed: pairs ranked correctly, over all places; tied pairs count half.
        ranks: of the films of each place, float64 [films], ties at their mean.
        positives: how many of them are positive.
        generator: shuffles them.
    """
    shuffled = np.zeros(PERMUTATIONS)
    for own, n in zip(ranks, positives, strict=True):
        least = n * (n + 1) / 2
        for part in np.array_split(shuffled, PERMUTATIONS * len(own) // BLOCK + 1):  # views
            shuffles = generator.permuted(np.tile(own, (len(part), 1)), axis=1)
            part[:] += shuffles[:, :n].sum(1) - least
    as_high = int((shuffled >= observed - 1e-9).sum())
    return (1 + as_high) / (1 + PERMUTATIONS)


def normal_p(observed: float, ranks: Sequence[Floats], positives: Sequence[int]) -> float:
    """The same share by the normal curve of a shuffle's mean and variance, which are exact.

    Args:
        observed, ranks, positives: as for ``shuffled_p``.
    """
    mean = variance = 0.0
    for own, n in zip(ranks, positives, strict=True):
        films = len(own)
        mean += n * (films - n) / 2
        # Of a sum of n drawn from the films' ranks without putting back; ties are in the ranks.
        variance += n * (films - n) / films * float(own.var(ddof=1))
    if variance == 0:
        return 1.0  # all films of every place tie
    return float(norm.sf((observed - mean - 0.25) / sqrt(variance)))


def ranking_of_answer(answer: Counts) -> Ranking | None:
    """Rank a hospital's films by what it sent: each count is taken at the middle of its run.

    Returns:
        None if a diagnosis has too few films for its counts to tell anything, or they carry noise.
    """
    first = answer.confusions[0]
    if answer.noise or min(first.tp + first.fn, first.tn + first.fp) < 2 * answer.suppress_below:
        return None
    known = [bounds(confusion, answer.suppress_below) for confusion in answer.confusions]
    middles = [_middle(reach.worst, reach.best) for reach in known]
    return ranking_of_counts(middles)


def _middle(worst: Confusion, best: Confusion) -> Confusion:
    """Half way, to whole films."""
    tp, fp = (worst.tp + best.tp) // 2, (worst.fp + best.fp) // 2
    return Confusion(tp, worst.tp + worst.fn - tp, worst.tn + worst.fp - fp, fp)


def ranking_of_counts(counts: Sequence[Confusion]) -> Ranking:
    """Rank a hospital's films by its counts at every threshold; films between two thresholds tie.

    Args:
        counts: one for each of ``THRESHOLDS``, free of contradictions.
    """
    first = counts[0]
    steps = np.arange(len(counts) + 1)
    called_positive = (
        [first.tp + first.fn, *(confusion.tp for confusion in counts), 0],
        [first.fp + first.tn, *(confusion.fp for confusion in counts), 0],
    )
    # Between two thresholds, so many are called positive at the lower and not at the higher one.
    values = [np.repeat(steps, -np.diff(column)) for column in called_positive]
    return Ranking(
        np.concatenate(values).astype(np.float64),
        np.repeat([True, False], [len(column) for column in values]),
    )


def reference_of(cohort: Cohort, seed: int) -> Reference:
    """Take up to ``WINDOWS`` windows inside the organ from every patient of a cohort.

    Args:
        cohort: all of its splits are used, since the operator trains on none of it.
        seed: decides which windows.

    Raises:
        CohortError: no patient of one diagnosis, or damaged files.
    """
    windows, patients = [], []
    positive: list[bool] = []
    for index, split in enumerate(SPLITS):
        patches = cohort.patches(split)
        generator = numpy_generator(seed, "reference-windows", index)
        inside = np.flatnonzero(patches.labels != PatchClass.I)
        names = np.array([cohort.films[film].patient for film in patches.films[inside]])
        for name in np.unique(names):
            rows = inside[names == name]
            rows = np.sort(generator.choice(rows, min(WINDOWS, len(rows)), replace=False))
            windows.append(normalise(patches.scaled(rows), cohort.protocol))
            patients.append(np.full(len(rows), len(positive), np.int64))
            positive.append(bool(patches.labels[rows[0]] == PatchClass.P))
    if len(set(positive)) < 2:
        raise CohortError(
            "the reference needs patients of both diagnoses with windows inside the organ",
            cohort.path,
            "label more films",
        )
    x = torch.from_numpy(np.concatenate(windows)).unsqueeze(1)  # [n, 1, side, side]
    return Reference(x, np.concatenate(patients), np.array(positive))


def ranking_on(reference: Reference, model: Model) -> Ranking:
    """Let all networks vote on the reference patients' windows."""
    module = build(model.network, model.protocol.side)
    votes = [votes_on(reference, module, parameters) for parameters in model.ensemble]
    return ranking_of_votes(np.sum(votes, axis=0), reference.positive)


def votes_on(
    reference: Reference, module: nn.Module, parameters: Parameters
) -> npt.NDArray[np.int64]:
    """Let one network vote: how many windows of each patient it calls N and P.

    Returns:
        int64 [2, patients].
    """
    with torch.inference_mode():
        parts = torch.split(reference.x, FORWARD_BATCH)
        called = torch.cat([forward(module, parameters, part).argmax(1) for part in parts]).numpy()
    patients = len(reference.positive)
    return np.stack(
        [
            np.bincount(reference.patients[called == label], minlength=patients)
            for label in (PatchClass.N, PatchClass.P)
        ]
    )


def ranking_of_votes(votes: npt.NDArray[np.int64], positive: npt.NDArray[np.bool_]) -> Ranking:
    """Rank patients by P / (P + N); 0 without such a vote."""
    n, p = votes.astype(np.float64)
    return Ranking(np.divide(p, n + p, out=np.zeros_like(p), where=n + p > 0), positive)
