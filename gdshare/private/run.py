"""A run under a guarantee: two queries first, then distillation as ever, without any patient."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gdshare.cohort import Cohort, Patches
from gdshare.distill import run_folder
from gdshare.distill.head import Body, Head, body_of
from gdshare.distill.journal import explain_faults
from gdshare.distill.loop import Outcome, Tick, take_steps
from gdshare.distill.problem import Draw, Features, Problem, run_record
from gdshare.errors import RunError, UsageError
from gdshare.exact_noise import rounded_gaussian
from gdshare.method import ONLY_HEAD, RunRecord, Settings
from gdshare.networks import build, require_device
from gdshare.private.account import Budget, Spending, spend
from gdshare.private.patients import patient_means
from gdshare.private.query import Noise
from gdshare.private.record import (
    PrivacyRecord,
    noisy_counts,
    privacy_digest,
    privacy_record,
    read_privacy,
    require_budget,
    write_privacy,
)
from gdshare.private.reference import Drawing, Reference, draw_reference
from gdshare.private.statistic import Shape, ask, estimate
from gdshare.private.surrogates import surrogates
from gdshare.protocol import CLASSES, Protocol
from gdshare.scattering import CELLS
from gdshare.theta0 import announced_theta0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mechanism:
    """What a private run does beside distilling; fixed in advance, and the same for all hospitals.

    Attributes:
        shape: of the queries.
        drawing: of the public films.
        noise: from the operating system; something else only in tests.
        accountant: divides a budget among queries of these shares.
    """

    shape: Shape = field(default_factory=Shape)
    drawing: Drawing = field(default_factory=Drawing)
    noise: Noise = rounded_gaussian
    accountant: Callable[[Budget, Sequence[float]], Spending] = spend

    def fitting(self, body: Body) -> "Mechanism":
        """The same with no more coordinates than the body's features have, of small patches."""
        most = len(body.centre) // CELLS**2
        dimension = min(self.shape.dimension, most)
        return replace(self, shape=replace(self.shape, dimension=dimension))


def distill_privately(
    cohort: Cohort,
    out: Path,
    settings: Settings,
    budget: Budget | None,
    device: str = "cpu",
    resume: bool = False,
    progress: Callable[[Tick], None] = lambda tick: None,
    clock: Callable[[], float] = time.time,
    stopping: Callable[[], bool] = lambda: False,
    reading: Callable[[int, int], None] = lambda done, total: None,
    mechanism: Mechanism | None = None,
) -> Outcome:
    """Distil a cohort so that the images tell little of any one training patient.

    Beside what ``gdshare.distill.loop.distill`` writes, ``out`` has ``privacy.json``. The images
    are a function of that statistic, of public constants and of the seed: the same ones give the
    same bytes. Another run of the same settings draws other noise, and spends its own budget.

    Args:
        cohort: labelled patches; only its training patients are read.
        out: a new folder, or with ``resume`` the folder of an interrupted run.
        settings: of the run: the network scattering, with L-BFGS.
        budget: the guarantee; None with ``resume`` alone: the interrupted run's.
        device, resume, progress, clock, stopping: as for ``distill``.
        reading: called with (patients done, patients in all) while their features are computed.
        mechanism: queries and public films; None: the constants.

    Returns:
        the result. Its scores are taken on surrogates, not on patients.

    Raises:
        UsageError: a setting that reads patients outside the account, a δ that is too large, no
            dp-accounting, or another guarantee than the interrupted run's.
        RunError: as for ``distill``; or the statistic is gone.
    """
    require_private(settings, cohort.protocol)
    body = scattering_body(settings, cohort.protocol, device)
    mechanism = (mechanism or Mechanism()).fitting(body)
    with ExitStack() as stack:
        with explain_faults(out):
            stack.enter_context(run_folder.claim(out, resume))
        if resume:
            record = read_privacy(out)
            require_budget(record, budget)
            reference = _reference(cohort, body, device, mechanism)
            _require_same(out, record, reference)
            named = run_folder.read_record(out).privacy_sha256 is not None
        elif budget is None:
            raise UsageError("no guarantee was asked for", "--epsilon", "give one, such as 8")
        else:
            run_folder.require_empty(out)
            reference = _reference(cohort, body, device, mechanism)
            record = _release(cohort, body, reference, budget, device, mechanism, reading)
            write_privacy(out, record)  # the noise counts as spent from here on
            named = True
            log.debug("%s: statistic drawn, ε %g", out, record.epsilon_spent)
        learned = estimate(record.statistic, reference.centres, record.fixed, record.multipliers)
        found = surrogates(learned.means, reference)
        problem = problem_on(settings, cohort.protocol, device, body, found)
        with explain_faults(out):
            digest = privacy_digest(out) if named else None
            run = _run_record(problem, cohort, record, digest)
            run_folder.begin(out, run, resume)
        return take_steps(out, problem, progress, clock, stopping)


def require_private(settings: Settings, protocol: Protocol) -> None:
    """Refuse what reads patients outside the account.

    Raises:
        UsageError: naming the setting.
    """
    refused = (
        (settings.network != ONLY_HEAD, f"--network {settings.network}", f"take {ONLY_HEAD}"),
        (settings.outer != "lbfgs", f"--outer {settings.outer}", "take lbfgs"),
    )
    for wrong, where, remedy in refused:
        if wrong:
            raise UsageError(
                "with --epsilon, patients are read once, as a statistic of fixed features; this "
                "reads them at every step",
                where,
                remedy,
            )
    if protocol.normalisation == "site":
        raise UsageError(
            "mean and deviation of gray levels are statistics of this site's patients, and are "
            "outside the account",
            "--normalise site",
            "label the cohort with the protocol's constants",
        )


def scattering_body(settings: Settings, protocol: Protocol, device: str = "cpu") -> Body:
    """The body of the settings' network, which is the same for everybody."""
    theta0 = announced_theta0(settings, build(settings.network, protocol.side))
    place = require_device(device)
    return body_of(
        settings.network, protocol.side, {name: own.to(place) for name, own in theta0.items()}
    )


def _reference(cohort: Cohort, body: Body, device: str, mechanism: Mechanism) -> Reference:
    dimension = mechanism.shape.dimension
    return draw_reference(cohort.protocol, body, dimension, device, mechanism.drawing)


def _release(
    cohort: Cohort,
    body: Body,
    reference: Reference,
    budget: Budget,
    device: str,
    mechanism: Mechanism,
    reading: Callable[[int, int], None],
) -> PrivacyRecord:
    """Look at the patients, once."""
    shape = mechanism.shape
    spending = mechanism.accountant(budget, shape.shares)
    patients = patient_means(cohort, body, reference.projection, shape.windows, device, reading)
    budget.require_small(len(patients))
    statistic = ask(patients, reference.centres, shape, spending.multipliers, mechanism.noise)
    return privacy_record(budget, spending, shape, statistic, reference.sha256)


def _require_same(out: Path, record: PrivacyRecord, reference: Reference) -> None:
    if record.reference_sha256 != reference.sha256:
        raise RunError(
            "this machine computes other coordinates from the drawn films than the run's",
            out,
            "resume where the run was begun",
        )


def problem_on(
    settings: Settings,
    protocol: Protocol,
    device: str,
    body: Body,
    features: tuple[Tensor, Tensor],
) -> Problem:
    """A problem that holds these features and no patch: they are learned from and scored on.

    Args:
        settings: of the run.
        protocol: of the patches.
        device: torch's name of where to compute.
        body: of the network.
        features: conditioned, float32 [n, F], and their classes, int64 [n].
    """
    place = require_device(device)
    x, y = (tensor.to(place) for tensor in features)
    classes = y.cpu().numpy()
    rows = [np.flatnonzero(classes == label) for label in range(len(CLASSES))]
    side = protocol.side
    nothing = Patches(
        np.empty((0, side, side), np.uint16), np.empty(0, np.uint8), np.empty(0, np.uint32)
    )
    return Problem(
        protocol,
        settings,
        place,
        build(settings.network, side),
        None,
        nothing,
        rows,
        (torch.empty(0), y),
        Features(body, x, y, rows, x),
        Draw(Head.zeros(body), (x, y), settings.trajectory),
    )


def _run_record(
    problem: Problem, cohort: Cohort, record: PrivacyRecord, privacy_sha256: str | None
) -> RunRecord:
    """``run.json``, with the noisy counts: a bundle publishes what stands there."""
    counts = noisy_counts(record.statistic, record.fixed)
    return run_record(problem, cohort).model_copy(
        update={"counts": counts, "privacy_sha256": privacy_sha256}
    )
