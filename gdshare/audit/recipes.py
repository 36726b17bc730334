"""What a shadow of the audit is distilled against, given who is in.

``FromPatches``
    the windows of those who are in, as a run without a guarantee is.
``FromChanged``
    the same, some windows of which are changed first.
``FromStatistic``
    a noisy statistic of those who are in, as a run with a guarantee is. Each shadow draws noise of
    its own, of the run's strength. It comes from a seed, as all of an audit does: a shadow is
    released to nobody, so its noise protects nobody.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Protocol as Interface

import numpy as np
import numpy.typing as npt

from gdshare.audit.candidates import Candidates
from gdshare.cohort import Cohort, Patches, Split
from gdshare.distill.head import FEATURE_BATCH
from gdshare.distill.problem import Features, Problem
from gdshare.errors import RunError
from gdshare.method import RunRecord
from gdshare.private.patients import PatientMeans, patient_means
from gdshare.private.query import Noise
from gdshare.private.record import PrivacyRecord
from gdshare.private.reference import Drawing, Reference, draw_reference
from gdshare.private.run import problem_on, scattering_body
from gdshare.private.statistic import ask, estimate
from gdshare.private.surrogates import surrogates
from gdshare.protocol import CLASSES
from gdshare.seeding import numpy_generator

Bool = npt.NDArray[np.bool_]


class Recipe(Interface):
    """Makes the problem of a shadow."""

    @property
    def problem(self) -> Problem:
        """What all shadows have in common: settings, network, body, device."""
        ...

    def of(self, included: Bool, seed: int) -> Problem:
        """The problem of some candidates alone.

        Args:
            included: bool [n], who is in.
            seed: of the shadow's own draws.
        """
        ...


@dataclass(frozen=True)
class FromPatches:
    """Shadows of a run without a guarantee.

    Attributes:
        problem: of all candidates; of a head it has their windows' features.
    """

    problem: Problem

    def of(self, included: Bool, seed: int) -> Problem:
        """See ``Recipe``."""
        whole = self.problem
        rows = np.flatnonzero(included[whole.train.films])
        train = Patches(whole.train.pixels[rows], whole.train.labels[rows], whole.train.films[rows])
        features = whole.features and _features_of(whole.features, train, rows)
        settings = whole.settings.model_copy(update={"seed": seed})
        by_class = train.rows_by_class()
        problem = replace(
            whole, settings=settings, train=train, rows=by_class, features=features, fixed=None
        )
        return replace(problem, fixed=problem.draw(0, 0)) if settings.outer == "lbfgs" else problem


def _features_of(whole: Features, train: Patches, rows: npt.NDArray[np.int64]) -> Features:
    """The features of some windows: those of all candidates were computed once."""
    return replace(
        whole, train=whole.train[rows], classes=whole.classes[rows], rows=train.rows_by_class()
    )


@dataclass(frozen=True)
class FromChanged:
    """Distillations from windows some of which are changed first.

    Attributes:
        whole: of the windows as they are.
        change: gives as many windows in the same order.
    """

    whole: FromPatches
    change: Callable[[Patches], Patches]

    @property
    def problem(self) -> Problem:
        """See ``Recipe``."""
        return self.whole.problem

    def of(self, included: Bool, seed: int) -> Problem:
        """See ``Recipe``. Features are computed of changed windows alone."""
        before = self.whole.problem
        train = self.change(before.train)
        rows = np.flatnonzero((train.pixels != before.train.pixels).any(axis=(1, 2)))
        features = before.features
        if features is not None:
            values = features.train.clone()
            for start in range(0, len(rows), FEATURE_BATCH):
                part = rows[start : start + FEATURE_BATCH]
                values[part] = features.body.features_of(before.patches(train, part)[0])
            features = replace(features, train=values)
        return FromPatches(replace(before, train=train, features=features)).of(included, seed)


@dataclass(frozen=True)
class FromStatistic:
    """Shadows of a run with a guarantee.

    Attributes:
        problem: body, settings and device; it holds no patch.
        record: of the run's guarantee: bounds and strength of the noise.
        reference: the public coordinates.
        patients: what the mechanism reads of each candidate.
    """

    problem: Problem
    record: PrivacyRecord
    reference: Reference
    patients: Sequence[PatientMeans]

    def of(self, included: Bool, seed: int) -> Problem:
        """See ``Recipe``."""
        record, whole = self.record, self.problem
        chosen = [own for own, inside in zip(self.patients, included, strict=True) if inside]
        noise = seeded_noise(numpy_generator(seed, "audit-noise"))
        centres, shape = self.reference.centres, record.fixed
        statistic = ask(chosen, centres, shape, record.multipliers, noise)
        means = estimate(statistic, centres, shape, record.multipliers).means
        settings = whole.settings.model_copy(update={"seed": seed})
        body = scattering_body(settings, whole.protocol, str(whole.device))
        features = surrogates(means, self.reference)
        return problem_on(settings, whole.protocol, str(whole.device), body, features)


def statistic_recipe(
    run: RunRecord,
    guarantee: PrivacyRecord,
    cohort: Cohort,
    candidates: Candidates,
    device: str,
    drawing: Drawing,
    reading: Callable[[int, int], None],
) -> FromStatistic:
    """Read every candidate as the mechanism would.

    Args:
        run: its settings count, but for the seed.
        guarantee: of the run.
        cohort: that it was distilled from.
        candidates: the cohort's training and test patients.
        device: torch's name of where to compute.
        drawing: of the public films.
        reading: called with (patients, in all) while their features are computed.

    Raises:
        RunError: this machine computes other public coordinates than the run's.
        UsageError: there is no such device.
    """
    settings, protocol = run.settings, run.protocol
    body = scattering_body(settings, protocol, device)
    shape = guarantee.fixed
    reference = draw_reference(protocol, body, shape.dimension, device, drawing)
    if reference.sha256 != guarantee.reference_sha256:
        raise RunError(
            "this machine computes other coordinates from the drawn films than the run's",
            remedy="audit where the run was made",
        )
    patients: list[PatientMeans] = []
    splits: tuple[Split, ...] = ("train", "test")
    for split in splits:

        def done(count: int, total: int, before: int = len(patients)) -> None:
            reading(before + count, len(candidates))

        means = patient_means(
            cohort, body, reference.projection, shape.windows, device, done, split
        )
        patients += [means[name] for name in sorted(means)]  # in the candidates' order
    nothing = surrogates(np.zeros((len(CLASSES), shape.dimension)), reference)
    problem = problem_on(settings, protocol, device, body, nothing)
    return FromStatistic(problem, guarantee, reference, patients)


def seeded_noise(generator: np.random.Generator) -> Noise:
    """Normal numbers, rounded, that a seed decides: for what is released to nobody."""

    def noise(variance: Fraction) -> int:
        return round(float(generator.normal(0.0, float(variance) ** 0.5)))

    return noise
