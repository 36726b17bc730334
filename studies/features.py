"""What is distilled from features that were read: with a guarantee, and without."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from gdshare.distill.head import Body
from gdshare.distill.journal import Journal
from gdshare.distill.loop import Outcome, conclude, train_step
from gdshare.distill.problem import Problem
from gdshare.distill.state import initial_state
from gdshare.distill.workers import ALONE
from gdshare.method import Settings
from gdshare.private.account import Budget, spend
from gdshare.private.query import Noise
from gdshare.private.reference import Reference
from gdshare.private.run import problem_on
from gdshare.private.statistic import PatientMeans, Shape, ask, estimate
from gdshare.private.surrogates import surrogates
from gdshare.protocol import PatchClass, Protocol
from studies.readings import Films


def distil(problem: Problem, where: str) -> Outcome:
    """Take all training steps; ``where`` names the result in errors."""
    settings = problem.settings
    state, journal = initial_state(settings, problem.protocol.side), Journal(None, None)
    for _ in range(settings.outer_steps):
        state, _ = train_step(state, problem, journal, ALONE)
    return conclude(state, problem, journal, ALONE, where)


def problem_of_windows(
    settings: Settings, protocol: Protocol, body: Body, own: Films, seen: Films
) -> Problem:
    """Without a guarantee: learn from windows of every class, and score on others."""
    problem = problem_on(settings, protocol, "cpu", body, (own.features, own.classes))
    problem = replace(problem, fixed=replace(problem, fixed=None).draw(0, 0))
    if problem.features is not None:
        problem = replace(problem, features=replace(problem.features, scoring=seen.features))
    return replace(problem, scoring=(torch.empty(0), seen.classes))


def problem_of_patients(
    settings: Settings,
    protocol: Protocol,
    body: Body,
    patients: Sequence[PatientMeans],
    reference: Reference,
    shape: Shape,
    multipliers: Sequence[float],
    noise: Noise,
) -> Problem:
    """With a guarantee: ask these patients once, and learn from what the answers say."""
    statistic = ask(patients, reference.centres, shape, multipliers, noise)
    means = estimate(statistic, reference.centres, shape, multipliers).means
    return problem_on(settings, protocol, "cpu", body, surrogates(means, reference))


def with_class_i(films: Films, reference: Reference) -> Films:
    """Where no window is of class I, drawn ones are: nobody's, whoever the patients are."""
    if films.has_class_i:
        return films
    drawn, labels = surrogates(np.repeat(reference.centres[:1], 3, axis=0), reference)
    rows = labels == PatchClass.I
    nobody = torch.full((int(rows.sum()),), -1)
    return films.beside(Films(drawn[rows], labels[rows], nobody))


def patients_in(films: Films, reference: Reference) -> list[PatientMeans]:
    """What the queries see of each patient, in the order of their films; each has one film."""
    patients, projection = [], reference.projection
    for film in np.unique(films.films.numpy()):
        own = films.films == film
        inside = films.classes[own] != PatchClass.I
        means = [
            projection @ part.double().numpy().mean(0) if len(part) else None
            for part in (films.features[own][~inside], films.features[own][inside])
        ]
        positive = bool((films.classes[own] == PatchClass.P).any())
        patients.append(PatientMeans(means[0], means[1], positive))
    return patients


@lru_cache(maxsize=16)
def multipliers_of(epsilon: float, delta: float, shares: tuple[float, float]) -> tuple[float, ...]:
    """Of a budget; the accountant needs seconds for each. None of ε = 0, without noise."""
    return spend(Budget(epsilon, delta), shares).multipliers if epsilon else (0.0, 0.0)
