"""The attacks that need no shadows, each with its control: ``membership-loss/1``,
``nearest-patch/1``, ``nearest-ratio/1`` and ``nearest-features/1``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from gdshare.audit.candidates import Candidates
from gdshare.audit.controls import Overfitted, copies
from gdshare.audit.figures import Control, Nearness, Result
from gdshare.audit.match import (
    Distances,
    equal_windows,
    feature_distances,
    first_seen,
    nearness,
    pixel_distances,
    rank_test,
)
from gdshare.audit.membership import patient_losses
from gdshare.audit.membership_lira import overfitted_control
from gdshare.audit.nearest import nearest, patient_correlations
from gdshare.audit.patients import Patients, sample_patches
from gdshare.audit.rates import Guesses, separation
from gdshare.bundle.attacks import Attack
from gdshare.cohort import Cohort
from gdshare.distill.head import Body
from gdshare.distilled import Distilled
from gdshare.method import RunRecord
from gdshare.networks import Parameters
from gdshare.patch_tensors import as_tensors
from gdshare.patches import normalise
from gdshare.pooling import contribution_from, train_pooled
from gdshare.seeding import numpy_generator

RATIO, FEATURES = "nearest-ratio/1", "nearest-features/1"
MANY = 24
"""Copies for the controls that need more than a run has images."""
SIGNIFICANT = 0.05
"""Ranks that do not show copies at this level show nothing else."""
SHIFT = 1
"""Of a copy, px."""
Done = Callable[[int], None]


@dataclass(frozen=True)
class Films:
    """The cohort's patients with all their windows.

    Attributes:
        cohort: whose.
        members, others: training and test patients.
        seed: of every draw.
    """

    cohort: Cohort
    members: Patients
    others: Patients
    seed: int

    def generator(self, purpose: str) -> np.random.Generator:
        """For one purpose."""
        return numpy_generator(self.seed, f"audit-{purpose}")

    def one_of_each(self, patients: Patients, count: int, purpose: str) -> npt.NDArray[np.int64]:
        """A window of each of ``count`` patients, fewer where there are fewer: their rows."""
        generator = self.generator(purpose)
        chosen = generator.permutation(len(patients))[:count]
        return np.array([generator.choice(patients.rows[place]) for place in chosen], np.int64)


def loss_control(
    films: Films,
    record: RunRecord,
    sets: Sequence[Overfitted],
    networks: int,
    device: str,
    shared: Parameters | None,
) -> Control:
    """``membership-loss/1`` on overfitted sets: their few patients against the test patients."""
    scores, member, patient, positive = [], [], [], []
    others = sample_patches(films.others, films.seed, "audit-others")
    own = sample_patches(films.members, films.seed, "audit-members")
    for number, leaking in enumerate(sets):
        few = np.flatnonzero(leaking.included)  # candidates begin with the training patients
        members = Patients(own.patches, tuple(own.rows[i] for i in few), own.positive[few])
        contribution = contribution_from("a control", leaking.distilled, record, 1, shared)
        model = train_pooled(
            [contribution], record.protocol, "average", films.seed + number, networks
        )
        losses = [
            patient_losses(model, films.cohort, part, device, lambda count: None).mean
            for part in (members, others)
        ]
        scores += [losses[1].mean() - losses[0], losses[1].mean() - losses[1]]
        member += [np.ones(len(few), bool), np.zeros(len(others), bool)]
        patient += [few, len(films.members) + np.arange(len(others))]
        positive += [members.positive, others.positive]
    guesses = Guesses(*(np.concatenate(part) for part in (scores, member, patient, positive)))
    return overfitted_control(separation(guesses, films.generator("loss-control")), len(sets))


def patch_control(films: Films, done: Done) -> Control:
    """``nearest-patch/1`` on windows of training patients."""
    rows = films.one_of_each(films.members, MANY, "patch-control")
    leaking = copies(films.members.patches.scaled(rows), 0)[:, None]
    own, their = (
        patient_correlations(leaking, part, done).patients for part in (films.members, films.others)
    )
    found = nearest(own, their, films.generator("patch-control-interval"))
    return Control(
        what=f"windows of training patients, with another contrast: {len(rows)}",
        figure=found.figure,
        low=found.low,
        high=found.high,
        unrelated=found.unrelated,
    )


def ratio_result(films: Films, distilled: Distilled, done: Done) -> Result:
    """``nearest-ratio/1``: the distances by pixels."""
    members, others = equal_windows(films.members, films.others, films.generator("equal-windows"))

    def distances(images: npt.NDArray[np.float32]) -> tuple[Distances, Distances]:
        own, their = (pixel_distances(images, part, done) for part in (members, others))
        return own, their

    def leaking(count: int) -> npt.NDArray[np.float32]:
        rows = films.one_of_each(members, count, "ratio-control")
        return copies(members.patches.scaled(rows), SHIFT)

    count = len(distilled.images)
    images = distilled.images[:, 0]
    few, many = distances(leaking(count)), distances(leaking(MANY))
    return _result(films, RATIO, distances(images), few, many, count, "and shifted by a pixel")


def features_result(
    films: Films, candidates: Candidates, body: Body, distilled: Distilled
) -> Result:
    """``nearest-features/1``: the distances by features, of the measured windows.

    Args:
        films: of the cohort.
        candidates: its patients' measured windows.
        body: of the run's head; scattering if all weights are trained.
        distilled: the run's images.
    """
    measured, owners = candidates.measured, candidates.owners
    device = body.centre.device
    x, _ = as_tensors(measured, np.arange(len(measured)), films.cohort.protocol)
    features = body.features_of(x.to(device)).cpu().double().numpy()
    count = int(np.bincount(owners).min())

    def distances(images: npt.NDArray[np.float32]) -> tuple[Distances, Distances]:
        own = body.features_of(torch.from_numpy(images[:, None].copy()).to(device))
        every = feature_distances(own.cpu().double().numpy(), features, owners, count)
        member = candidates.member[first_seen(owners)]
        return (
            Distances(every.values[member], count),
            Distances(every.values[~member], count),
        )

    def leaking(number: int) -> npt.NDArray[np.float32]:
        generator = films.generator("features-control")
        chosen = generator.permutation(np.flatnonzero(candidates.member))[:number]
        rows = [np.flatnonzero(owners == own)[generator.integers(count)] for own in chosen]
        windows = copies(measured.scaled(np.array(rows, np.int64)), 0)
        return np.asarray(normalise(windows, films.cohort.protocol), np.float32)

    few, many = distances(leaking(len(distilled.images))), distances(leaking(MANY))
    found = distances(distilled.images[:, 0])
    return _result(films, FEATURES, found, few, many, len(distilled.images), "unshifted")


def _result(
    films: Films,
    name: str,
    found: tuple[Distances, Distances],
    few: tuple[Distances, Distances],
    many: tuple[Distances, Distances],
    count: int,
    how: str,
) -> Result:
    generator = films.generator(name)
    near = nearness(*found, generator)
    ranks = rank_test(*many)
    control = nearness(*few, generator).model_copy(update={"ranks": ranks})
    if ranks.p >= SIGNIFICANT:
        near = near.model_copy(update={"ranks": None})
    figure, low, high, unrelated = _shares(near)
    own = Attack(name=name, figure=figure, low=low, high=high, unrelated=unrelated)
    figure, low, high, unrelated = _shares(control)
    return Result(
        attack=own,
        control=Control(
            what=f"windows of training patients, with another contrast, {how}: {count}; for the "
            f"ranks {MANY}",
            figure=figure,
            low=low,
            high=high,
            unrelated=unrelated,
        ),
        nearness={"images": near, "control": control},
    )


def _shares(near: Nearness) -> tuple[float, float, float, float]:
    """1 - ratio in [0, 1], so that more is a greater leak: figure, low, high, unrelated."""
    figure, low, high, unrelated = (
        round(min(max(1.0 - ratio, 0.0), 1.0), 3)
        for ratio in (near.ratio, near.high, near.low, near.unrelated)
    )
    return figure, low, high, unrelated
