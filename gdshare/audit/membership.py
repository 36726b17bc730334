"""``membership-loss/1``: does a network trained on the images recognise the training patients?

Source: Yeom, Giacomelli, Fredrikson, Jha, "Privacy risk in machine learning", CSF 2018. Here the
loss is averaged over a patient's patches, since the question is about patients.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from gdshare.audit.patients import MIN_PATIENTS, Patients
from gdshare.bundle.attacks import Attack
from gdshare.cohort import Cohort
from gdshare.model import Model
from gdshare.networks import build, forward
from gdshare.patch_tensors import as_tensors

NAME: Final = "membership-loss/1"
CHANCE = 0.5
RESAMPLES = 2000

Wins = npt.NDArray[np.float64]
"""float64 [members, others]: 1 where the member's loss is lower, 0.5 where equal, else 0."""


@dataclass(frozen=True)
class Losses:
    """What an attacker knows of each patient.

    Attributes:
        mean: float64 [patients], mean cross entropy over the patient's patches and all networks.
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

    That is the area under the ROC curve of "the lower the loss, the more likely a training
    patient", taken within each diagnosis: films with a finding are harder or easier, whoever the
    patient is.

    Args:
        members: of the training patients.
        others: of the test patients.
        generator: resamples both, patient by patient within each diagnosis, for the interval.
    """
    parts = [
        _wins(
            members.mean[members.positive == diagnosis], others.mean[others.positive == diagnosis]
        )
        for diagnosis in comparable_diagnoses(members.positive, others.positive)
    ]
    samples = [_area([_resample(part, generator) for part in parts]) for _ in range(RESAMPLES)]
    low, high = np.percentile(samples, [2.5, 97.5])
    return Attack(
        name=NAME,
        figure=round(_area(parts), 3),
        low=round(float(min(low, _area(parts))), 3),
        high=round(float(max(high, _area(parts))), 3),
        unrelated=CHANCE,
    )


def comparable_diagnoses(
    members: npt.NDArray[np.bool_], others: npt.NDArray[np.bool_]
) -> tuple[bool, ...]:
    """The diagnoses with at least ``MIN_PATIENTS`` training and as many test patients.

    Args:
        members: bool [patients], diagnoses of the training patients.
        others: bool [patients], of the test patients.
    """
    return tuple(
        diagnosis
        for diagnosis in (False, True)
        if min((members == diagnosis).sum(), (others == diagnosis).sum()) >= MIN_PATIENTS
    )


def _wins(members: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> Wins:
    """Compare every member's loss with every other patient's."""
    below, equal = members[:, None] < others, members[:, None] == others
    return np.asarray(below + 0.5 * equal, np.float64)


def _area(parts: Sequence[Wins]) -> float:
    return float(sum(part.sum() for part in parts) / sum(part.size for part in parts))


def _resample(wins: Wins, generator: np.random.Generator) -> Wins:
    members, others = wins.shape
    rows = generator.integers(members, size=members)
    columns = generator.integers(others, size=others)
    return wins[np.ix_(rows, columns)]


def patient_losses(
    model: Model,
    cohort: Cohort,
    patients: Patients,
    device: str,
    done: Callable[[int], None],
) -> Losses:
    """Mean cross entropy of a model's networks on each patient's patches.

    Args:
        model: trained on the images.
        cohort: of the patients; its protocol has the normalisation.
        patients: with the patches to read.
        device: torch's name of where to compute.
        done: called with the number of patients done.
    """
    module = build(model.network, model.protocol.side)
    ensemble = [{name: w.to(device) for name, w in theta.items()} for theta in model.ensemble]
    means = np.empty(len(patients), np.float64)
    with torch.inference_mode():
        for place, rows in enumerate(patients.rows):
            x, y = (part.to(device) for part in as_tensors(patients.patches, rows, cohort.protocol))
            losses = [functional.cross_entropy(forward(module, theta, x), y) for theta in ensemble]
            means[place] = float(torch.stack(losses).double().mean())
            done(place + 1)
    return Losses(means, patients.positive)
