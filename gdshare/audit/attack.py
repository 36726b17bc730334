"""The two attacks of one pass: networks that a receiver trains, and the nearest patch.

``audit_run`` makes them and all others, with a control for each.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gdshare.audit.membership import comparable_diagnoses, membership, patient_losses
from gdshare.audit.nearest import nearest, patient_correlations
from gdshare.audit.nearest_patches import NearestPatches
from gdshare.audit.patients import MIN_PATIENTS, Patients, patients_of, sample_patches
from gdshare.bundle.attacks import Attack
from gdshare.cohort import Cohort, cohort_digest
from gdshare.distilled import Distilled
from gdshare.errors import CohortError, UsageError
from gdshare.method import RunRecord
from gdshare.networks import Parameters
from gdshare.pooling import contribution_from, train_pooled
from gdshare.seeding import numpy_generator

NETWORKS = 5
"""Trained on the images; an attacker may train any number."""

Progress = Callable[[int, int], None]
"""Called with (done, total)."""


@dataclass(frozen=True)
class Audit:
    """What these attacks found.

    Attributes:
        attacks: sorted by name.
        nearest: the training patch nearest to each image.
    """

    attacks: tuple[Attack, ...]
    nearest: NearestPatches


def attack_run(
    record: RunRecord,
    distilled: Distilled,
    cohort: Cohort,
    device: str = "cpu",
    progress: Progress = lambda done, total: None,
    shared: Parameters | None = None,
) -> Audit:
    """Make ``membership-loss/1`` and ``nearest-patch/1``.

    All random choices (θ0, the patches of a patient, the intervals) follow from the images
    themselves, so that nobody can try seeds until a figure pleases.

    Args:
        record: ``run.json``.
        distilled: the run's result.
        cohort: that the run was distilled from; its test patients had no part in the run.
        device: where losses are computed.
        progress: called with (patients done, in all).
        shared: the weights of the shared model that is its announced θ0, if it is one.

    Returns:
        the figures, and the training patches to look at.

    Raises:
        UsageError: the run was distilled from another cohort.
        CohortError: too few training or test patients of the same diagnosis.
        DivergedError: training on the images leaves the range of numbers.
    """
    require_own_cohort(record, cohort)
    seed = seed_of(distilled)
    members, others = (patients_of(cohort, split) for split in ("train", "test"))
    _require_comparable(members, others, cohort)
    contribution = contribution_from("this run", distilled, record, 1, shared)
    model = train_pooled([contribution], record.protocol, "average", seed, NETWORKS)
    total, before = 2 * (len(members) + len(others)), 0

    def done(count: int) -> None:
        progress(before + count, total)

    losses, correlations = [], []
    for purpose, patients in (("audit-members", members), ("audit-others", others)):
        sample = sample_patches(patients, seed, purpose)
        losses.append(patient_losses(model, cohort, sample, device, done))
        before += len(patients)
        correlations.append(patient_correlations(distilled.images, patients, done))
        before += len(patients)
    own, others_own = correlations
    attacks = (
        membership(losses[0], losses[1], numpy_generator(seed, "audit-membership")),
        nearest(own.patients, others_own.patients, numpy_generator(seed, "audit-nearest")),
    )
    patches = members.patches.scaled(own.rows)
    return Audit(attacks, NearestPatches(patches, own.values.astype(np.float32)))


def require_own_cohort(record: RunRecord, cohort: Cohort) -> None:
    """Refuse another cohort than the one that a run was distilled from.

    Raises:
        UsageError: it is.
    """
    if record.cohort_sha256 != cohort_digest(cohort):
        raise UsageError("this run was distilled from another cohort", cohort.path, "pass that one")


def _require_comparable(members: Patients, others: Patients, cohort: Cohort) -> None:
    if not comparable_diagnoses(members.positive, others.positive):
        raise CohortError(
            f"an attack needs {MIN_PATIENTS} training and {MIN_PATIENTS} test patients of the same "
            "diagnosis",
            cohort.path,
            "label the cohort with more patients, or a larger share of test patients",
        )


def seed_of(distilled: Distilled) -> int:
    """The seed of all random choices of an audit, which follows from what is attacked."""
    return int.from_bytes(hashlib.sha256(distilled.to_bytes()).digest()[:8], "big") >> 1
