"""What a shadow of the audit is distilled against, given who is in.

``FromPatches``
    the windows of those who are in, as a run without a guarantee is.
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
from gdshare.distill.head import Body
from gdshare.distill.problem import Features, Problem
from gdshare.errors import RunError, UsageError
from gdshare.private.patients import PatientMeans, patient_means
from gdshare.private.query import Noise
from gdshare.private.record import PrivacyRecord
from gdshare.private.reference import Drawing, Reference, draw_reference
from gdshare.private.run import problem_on
from gdshare.private.statistic import ask, estimate
from gdshare.private.surrogates import surrogates
from gdshare.seeding import numpy_generator

Bool = npt.NDArray[np.bool_]


class Recipe(Interface):
    """Makes the problem of a shadow."""

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
class FromStatistic:
    """Shadows of a run with a guarantee.

    Attributes:
        problem: of the same candidates' windows; its settings, body and device count.
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
        features, device = surrogates(means, self.reference), str(whole.device)
        return problem_on(settings, whole.protocol, device, _body(whole), features)


def statistic_recipe(
    problem: Problem,
    guarantee: PrivacyRecord,
    cohort: Cohort,
    candidates: Candidates,
    drawing: Drawing,
    reading: Callable[[int, int], None],
) -> FromStatistic:
    """Read every candidate as the mechanism would.

    Args:
        problem: of the candidates' windows.
        guarantee: of the run.
        cohort: that it was distilled from.
        candidates: the cohort's training and test patients.
        drawing: of the public films.
        reading: called with (patients, in all) while their features are computed.

    Raises:
        RunError: this machine computes other public coordinates than the run's.
    """
    body, device, shape = _body(problem), str(problem.device), guarantee.fixed
    reference = draw_reference(problem.protocol, body, shape.dimension, device, drawing)
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
    return FromStatistic(problem, guarantee, reference, patients)


def _body(problem: Problem) -> Body:
    if problem.features is None:
        raise UsageError("a run with a guarantee trains a head alone, and this one does not")
    return problem.features.body


def seeded_noise(generator: np.random.Generator) -> Noise:
    """Normal numbers, rounded, that a seed decides: for what is released to nobody."""

    def noise(variance: Fraction) -> int:
        return round(float(generator.normal(0.0, float(variance) ** 0.5)))

    return noise
