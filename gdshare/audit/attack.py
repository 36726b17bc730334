"""All attacks on one run's images."""

import hashlib
from collections.abc import Callable

from gdshare.audit.membership import compared, losses, membership
from gdshare.audit.nearest import closest, nearest
from gdshare.audit.patients import LEAST, patients_of, some_of
from gdshare.bundle.attacks import Attack
from gdshare.cohort import Cohort
from gdshare.distill.problem import cohort_digest
from gdshare.distilled import Distilled
from gdshare.errors import CohortError, UsageError
from gdshare.method import RunRecord
from gdshare.pooling import Contribution, train_pooled
from gdshare.seeding import numpy_generator

NETWORKS = 5
"""Trained from the images; an attacker has as many as he likes."""

Progress = Callable[[int, int], None]
"""Called with (done, total)."""


def attack_run(
    record: RunRecord,
    distilled: Distilled,
    cohort: Cohort,
    device: str = "cpu",
    progress: Progress = lambda done, total: None,
) -> tuple[Attack, ...]:
    """Make every attack there is.

    What is drawn (θ0, which patches of a patient are looked at, the intervals) is decided by the
    images themselves, so that nobody can try seeds until a figure pleases.

    Args:
        record: ``run.json``.
        distilled: its result.
        cohort: it was distilled from; its test patients played no part.
        device: where losses are computed.
        progress: for people.

    Returns:
        sorted by name.

    Raises:
        UsageError: the run was made of another cohort.
        CohortError: too few training or test patients, or none of the same diagnosis.
        DivergedError: no network can be trained from the images.
    """
    if record.cohort_sha256 != cohort_digest(cohort):
        raise UsageError(
            "the run was not distilled from this cohort",
            cohort.path,
            "attack it with the one it was",
        )
    seed = _seed_of(distilled)
    members, others = (patients_of(cohort, split) for split in ("train", "test"))
    if not compared(members.positive, others.positive):
        raise CohortError(
            f"an attack needs {LEAST} training and {LEAST} test patients of one diagnosis",
            cohort.path,
            "label the cohort with more patients, or a larger share of test patients",
        )
    model = train_pooled([_alone(record, distilled)], record.protocol, "average", seed, NETWORKS)
    total, before = 2 * (len(members) + len(others)), 0

    def done(count: int) -> None:
        progress(before + count, total)

    known, near = [], []
    for purpose, patients in (("audit-members", members), ("audit-others", others)):
        some = some_of(patients, seed, purpose)
        known.append(losses(model, cohort, some, device, done))
        before += len(patients)
        near.append(closest(distilled.images, patients, done))
        before += len(patients)
    return (
        membership(known[0], known[1], numpy_generator(seed, "audit-membership")),
        nearest(near[0], near[1], numpy_generator(seed, "audit-nearest")),
    )


def _seed_of(distilled: Distilled) -> int:
    return int.from_bytes(hashlib.sha256(distilled.to_bytes()).digest()[:8], "big") >> 1


def _alone(record: RunRecord, distilled: Distilled) -> Contribution:
    return Contribution(
        site="this run",
        distilled=distilled,
        method=record.settings.method(),
        initialiser=record.initialiser,
        patients=1,
        theta0_sha256=record.theta0_sha256,
    )
