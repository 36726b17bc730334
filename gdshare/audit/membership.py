"""``membership-loss/1``: does a network trained from the images know its training patients?

Source: Yeom, Giacomelli, Fredrikson, Jha, "Privacy risk in machine learning", CSF 2018, with the
loss averaged over a patient's patches, since it is patients that are asked about.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from gdshare.audit.patients import LEAST, Patients
from gdshare.bundle.attacks import Attack
from gdshare.cohort import Cohort
from gdshare.model import Model
from gdshare.networks import build, forward
from gdshare.patch_tensors import as_tensors

NAME: Final = "membership-loss/1"
GUESSING = 0.5
RESAMPLES = 2000

Wins = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Losses:
    """What an attacker has of each patient.

    Attributes:
        mean: float64 [patients], cross-entropy over the patient's patches and all networks.
        positive: bool [patients], the diagnosis.
    """

    mean: npt.NDArray[np.float64]
    positive: npt.NDArray[np.bool_]


def membership(
    members: Losses,
    others: Losses,
    generator: np.random.Generator,
) -> Attack:
    """How often a training patient's loss is below that of a test patient of the same diagnosis.

    That is the area under the ROC curve of "the lower the loss, the rather a training patient",
    taken within each diagnosis: a finding is easier or harder to see whoever the patient is.

    Args:
        members: of the training patients.
        others: of the test patients.
        generator: resamples both, patient by patient within each diagnosis, for the interval.
    """
    parts = [
        _wins(members.mean[members.positive == one], others.mean[others.positive == one])
        for one in compared(members.positive, others.positive)
    ]
    samples = [_area([_resampled(part, generator) for part in parts]) for _ in range(RESAMPLES)]
    low, high = np.percentile(samples, [2.5, 97.5])
    return Attack(
        name=NAME,
        figure=round(_area(parts), 3),
        low=round(float(min(low, _area(parts))), 3),
        high=round(float(max(high, _area(parts))), 3),
        unrelated=GUESSING,
    )


def compared(members: npt.NDArray[np.bool_], others: npt.NDArray[np.bool_]) -> tuple[bool, ...]:
    """Return the diagnoses of which there are ``LEAST`` training and ``LEAST`` test patients.

    With fewer no interval is worth its name, and the figure would be one person's.
    """
    return tuple(
        one for one in (False, True) if min((members == one).sum(), (others == one).sum()) >= LEAST
    )


def _wins(members: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> Wins:
    """float64 [members, others]: 1 where the member's loss is the lower, a half for equal ones."""
    below, equal = members[:, None] < others, members[:, None] == others
    return np.asarray(below + 0.5 * equal, np.float64)


def _area(parts: Sequence[Wins]) -> float:
    return float(sum(part.sum() for part in parts) / sum(part.size for part in parts))


def _resampled(wins: Wins, generator: np.random.Generator) -> Wins:
    rows, columns = wins.shape
    if not wins.size:
        return wins
    drawn = generator.integers(rows, size=rows), generator.integers(columns, size=columns)
    return wins[np.ix_(*drawn)]


def losses(
    model: Model,
    cohort: Cohort,
    patients: Patients,
    device: str,
    done: Callable[[int], None],
) -> Losses:
    """Mean cross-entropy of a model's networks on each patient's patches.

    Args:
        model: trained from the images.
        cohort: whose normalisation the patches take.
        patients: whom to ask about.
        device: torch's name of where to compute.
        done: called with the number of patients that are done.

    Returns:
        the mean loss of each.
    """
    module = build(model.network, model.protocol.side)
    ensemble = [{name: w.to(device) for name, w in one.items()} for one in model.ensemble]
    found = np.empty(len(patients), np.float64)
    with torch.inference_mode():
        for place, rows in enumerate(patients.rows):
            x, y = (one.to(device) for one in as_tensors(patients.patches, rows, cohort))
            told = [functional.cross_entropy(forward(module, one, x), y) for one in ensemble]
            found[place] = float(torch.stack(told).double().mean())
            done(place + 1)
    return Losses(found, patients.positive)
