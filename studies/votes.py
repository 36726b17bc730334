"""What votes of networks are worth: a score of patches, and how well films are told apart."""

import numpy as np
import numpy.typing as npt
from torch import Tensor

from gdshare.cohort import Patches
from gdshare.metrics import auc
from gdshare.patch_tensors import balanced_accuracy
from gdshare.protocol import PatchClass


def judge_votes(votes: Tensor, classes: Tensor, films: Tensor) -> tuple[float, float]:
    """Patch score, and AUC of films by the share of P among votes for N or P.

    Args:
        votes, classes: of windows, int64 [n].
        films: each window's, int64 [n]; a film without a window in its organ has no share.
    """
    ratios, positive = [], []
    for film in np.unique(films.numpy()):
        own = films == film
        p, n = (int((votes[own] == label).sum()) for label in (PatchClass.P, PatchClass.N))
        organ = classes[own][classes[own] != PatchClass.I]
        if len(organ):
            ratios.append(p / (p + n) if p + n else 0.0)
            positive.append(bool(organ[0] == PatchClass.P))
    return balanced_accuracy(votes, classes), float(auc(np.array(ratios), np.array(positive)))


def spread_rows(patches: Patches, windows: int) -> npt.NDArray[np.int64]:
    """Up to so many windows of class I, and of the organ, of each film, spread over all: rows."""
    rows: list[int] = []
    for film in np.unique(patches.films):
        for inside in (False, True):
            own = (patches.films == film) & ((patches.labels != PatchClass.I) == inside)
            places = np.flatnonzero(own)
            count = min(windows, len(places))
            rows += [int(places[number * len(places) // count]) for number in range(count)]
    return np.array(rows, np.int64)
