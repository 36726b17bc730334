"""What the mechanism reads of each training patient: two means of features, by the patient alone.

A patient's windows are chosen by their order among the patient's own, never by chance over a class,
and their features are computed apart from other patients': so no other patient, added or removed,
changes a digit of them. Shapes::

    k  coordinates of the public projection
    F  conditioned features
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from gdshare.cohort import Cohort, Patches, Split
from gdshare.distill.head import Body
from gdshare.patch_tensors import as_tensors
from gdshare.private.statistic import PatientMeans, Vector
from gdshare.protocol import PatchClass, Protocol

__all__ = ["PatientMeans", "patient_means"]


def patient_means(
    cohort: Cohort,
    body: Body,
    projection: npt.NDArray[np.float64],
    windows: int,
    device: str = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[PatientMeans]:
    """The means of every training patient, in no order that matters.

    Args:
        cohort: labelled patches.
        body: of the network.
        projection: float64 [k, F], public.
        windows: of class I, and of N or P, that are looked at in each patient, at most.
        device: torch's name of where to compute.
        progress: called with (patients done, patients in all).
    """
    patches, means = cohort.patches("train"), list[PatientMeans]()
    rows_of = rows_looked_at(cohort, windows, "train")
    for rows in rows_of.values():
        means.append(read_patient(patches, rows, cohort.protocol, body, projection, device))
        progress(len(means), len(rows_of))
    return means


def rows_looked_at(cohort: Cohort, windows: int, split: Split) -> dict[str, npt.NDArray[np.int64]]:
    """Patient -> rows of the windows that are looked at, of class I first, each in their order.

    Args:
        cohort: labelled patches.
        windows: of class I, and of N or P, of each patient, at most.
        split: whose; a guarantee is of training patients, an audit looks at test patients too.
    """
    patches, looked_at = cohort.patches(split), {}
    for name, rows in _rows_by_patient(cohort, patches).items():
        inside = patches.labels[rows] != PatchClass.I
        parts = [_evenly(own, windows) for own in (rows[~inside], rows[inside])]
        looked_at[name] = np.concatenate(parts)
    return looked_at


def read_patient(
    patches: Patches,
    rows: npt.NDArray[np.int64],
    protocol: Protocol,
    body: Body,
    projection: npt.NDArray[np.float64],
    device: str,
) -> PatientMeans:
    """The means of a single patient.

    Args:
        patches: with the patient's.
        rows: of those that are looked at.
        protocol: of the patches.
        body, projection, device: as for ``patient_means``.
    """
    labels = patches.labels[rows]
    inside = labels != PatchClass.I

    def mean(own: npt.NDArray[np.int64]) -> Vector | None:
        return _mean(patches, own, protocol, body, projection, device) if len(own) else None

    positive = bool((labels == PatchClass.P).any())
    return PatientMeans(mean(rows[~inside]), mean(rows[inside]), positive)


def _rows_by_patient(cohort: Cohort, patches: Patches) -> dict[str, npt.NDArray[np.int64]]:
    """Patient -> rows of that patient's windows, on all films, in their order."""
    patients = [cohort.films[film].patient for film in patches.films]
    rows: dict[str, list[int]] = {}
    for row, patient in enumerate(patients):
        rows.setdefault(patient, []).append(row)
    return {patient: np.array(own, np.int64) for patient, own in rows.items()}


def _evenly(rows: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Up to ``count`` rows, spread over all."""
    if len(rows) <= count:
        return rows
    return rows[np.arange(count) * len(rows) // count]


def _mean(
    patches: Patches,
    rows: npt.NDArray[np.int64],
    protocol: Protocol,
    body: Body,
    projection: npt.NDArray[np.float64],
    device: str,
) -> Vector:
    x, _ = as_tensors(patches, rows, protocol)
    with torch.no_grad():
        features = body.features_of(x.to(device)).cpu().double().numpy()  # [n, F]
    mean: Vector = projection @ features.mean(0)
    return mean
