"""Whether a bundle teaches anything: networks trained from it alone must tell the diagnoses apart.

The figure is the AUC of the vote ratio (Eq. 4's left side): how often a positive patient is ranked
above a negative one; 0.5 is chance, and flipped labels give less. The rule is a permutation test:
diagnoses are dealt out anew among the patients of each place, and a bundle *beats chance* when at
most 5% of the deals give an AUC as high. So a bundle that knows nothing passes one time in twenty,
whatever the number of films; how often a good one passes is a matter of that number. With fewer
than ``LEAST_FILMS`` of either diagnosis one of AUC 0.70 would fail more than one time in five, so
nothing is concluded from them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from gdshare.cohort import SPLITS, Cohort
from gdshare.errors import CohortError
from gdshare.metrics import Confusion
from gdshare.model import Model
from gdshare.networks import Parameters, build, forward
from gdshare.patch_tensors import FORWARD_BATCH
from gdshare.patches import normalise
from gdshare.protocol import PatchClass
from gdshare.seeding import numpy_generator

ERROR_RATE = 0.05
LEAST_FILMS = 25
PERMUTATIONS = 9999
WINDOWS = 16
"""Of a reference patient; further ones of the same film say little that is new."""

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
    """What networks trained from one bundle alone make of films it has not seen.

    Attributes:
        asked: whose films.
        positives, negatives: how many.
        auc: within places, over all of them.
        p: share of random diagnoses that give as high an AUC.
    """

    asked: Asked
    positives: int
    negatives: int
    auc: float
    p: float

    @property
    def tested(self) -> bool:
        """Whether there are films enough to conclude anything."""
        return min(self.positives, self.negatives) >= LEAST_FILMS

    @property
    def beats_chance(self) -> bool:
        """The permutation test's verdict."""
        return self.p <= ERROR_RATE


@dataclass(frozen=True)
class Reference:
    """Labelled patches that the operator supplies.

    Attributes:
        x: windows inside the organ, float32 [n, 1, side, side], normalised.
        patients: int64 [n], whose a window is.
        positive: bool [patients].
    """

    x: Tensor
    patients: npt.NDArray[np.int64]
    positive: npt.NDArray[np.bool_]


def teaching(
    asked: Asked, places: Sequence[Ranking], generator: np.random.Generator
) -> Utility | None:
    """Test one bundle's rankings against chance; None where one diagnosis is absent everywhere.

    Args:
        asked: whose films they are.
        places: rankings are compared within each, since films of two places may differ in looks.
        generator: deals the diagnoses out.
    """
    usable = [one for one in places if 0 < one.positive.sum() < len(one.positive)]
    if not usable:
        return None
    pairs = sum(int(one.positive.sum() * (~one.positive).sum()) for one in usable)
    above, dealt = 0.0, np.zeros(PERMUTATIONS)
    for one in usable:
        ranks = rankdata(one.values)
        positives = int(one.positive.sum())
        least = positives * (positives + 1) / 2
        above += float(ranks[one.positive].sum()) - least
        deals = generator.permuted(np.tile(ranks, (PERMUTATIONS, 1)), axis=1)
        dealt += deals[:, :positives].sum(1) - least
    as_high = int((dealt >= above - 1e-9).sum())
    return Utility(
        asked,
        sum(int(one.positive.sum()) for one in usable),
        sum(int((~one.positive).sum()) for one in usable),
        above / pairs,
        (1 + as_high) / (1 + PERMUTATIONS),
    )


def ranking_of_counts(counts: Sequence[Confusion]) -> Ranking:
    """A hospital's films as its counts at every threshold rank them; films between two tie.

    Args:
        counts: one for each of ``THRESHOLDS``, that do not contradict one another.
    """
    first = counts[0]
    steps = range(len(counts) + 1)
    called = [
        np.array([total, *(getattr(one, kind) for one in counts), 0])
        for kind, total in (("tp", first.tp + first.fn), ("fp", first.fp + first.tn))
    ]
    # Between two thresholds, so many are called positive at the lower and not at the higher one.
    values = [np.repeat(np.arange(len(steps)), -np.diff(column)) for column in called]
    return Ranking(
        np.concatenate(values).astype(np.float64),
        np.repeat([True, False], [len(column) for column in values]),
    )


def reference_of(cohort: Cohort, seed: int) -> Reference:
    """Take up to ``WINDOWS`` windows inside the organ of every patient of a cohort.

    Args:
        cohort: whatever its splits: the operator trains on none of it.
        seed: decides which windows.

    Raises:
        CohortError: no patient of one diagnosis, or damaged files.
    """
    patients: dict[str, int] = {}
    windows, whose, positive = [], [], []
    for index, split in enumerate(SPLITS):
        patches = cohort.patches(split)
        generator = numpy_generator(seed, "reference-windows", index)
        inside = np.flatnonzero(patches.labels != PatchClass.I)
        names = np.array([cohort.films[film].patient for film in patches.films[inside]])
        for name in np.unique(names):
            rows = inside[names == name]
            rows = np.sort(generator.choice(rows, min(WINDOWS, len(rows)), replace=False))
            patients[name] = len(patients)
            windows.append(normalise(patches.scaled(rows), cohort.protocol))
            whose.append(np.full(len(rows), patients[name], np.int64))
            positive.append(bool(patches.labels[rows[0]] == PatchClass.P))
    if len(set(positive)) < 2:
        raise CohortError(
            "the reference needs patients of both diagnoses with windows inside the organ",
            cohort.path,
            "label more films",
        )
    x = torch.from_numpy(np.concatenate(windows)).unsqueeze(1)
    return Reference(x, np.concatenate(whose), np.array(positive))


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
