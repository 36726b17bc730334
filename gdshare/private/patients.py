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
    split: Split = "train",
) -> dict[str, PatientMeans]:
    """Patient -> means, of every training patient, in no order that matters.

    Args:
        cohort: labelled patches.
        body: of the network.
        projection: float64 [k, F], public.
        windows: of class I, and of N or P, that are looked at in each patient, at most.
        device: torch's name of where to compute.
        progress: called with (patients done, patients in all).
        split: whose; a guarantee is of training patients, an audit reads test patients too.
    """
    patches, means = cohort.patches(split), dict[str, PatientMeans]()
    rows_of = _rows_by_patient(cohort, patches)

    def mean(rows: npt.NDArray[np.int64]) -> Vector | None:
        if not len(rows):
            return None
        return _mean(patches, _evenly(rows, windows), cohort.protocol, body, projection, device)

    for done, (name, rows) in enumerate(rows_of.items(), start=1):
        labels = patches.labels[rows]
        inside = labels != PatchClass.I
        positive = bool((labels == PatchClass.P).any())
        means[name] = PatientMeans(mean(rows[~inside]), mean(rows[inside]), positive)
        progress(done, len(rows_of))
    return means


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
