"""A whole audit of a run: every attack, its positive control, and the record of both.

::

    audit = audit_run(Path("run"), open_cohort(Path("cohort")))
    audit.record.results  # every attack with its control
    audit.attacks  # those that count: a control fired, or something was found; a bundle tells these

What takes long is one distillation after the other (``shadows``), and each is kept in the run's
folder: an audit that is made again goes on where it was.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.audit.attack import NETWORKS, Progress, attack_run, require_own_cohort, seed_of
from gdshare.audit.figures import Result, Untried
from gdshare.audit.gathering import gather, line_up, overfitted_sets
from gdshare.audit.identifiers import NAME as IDENTIFIERS
from gdshare.audit.identifiers import Leaving, Searched, identifiers_result, known_of
from gdshare.audit.lineup import NAME as LINEUP
from gdshare.audit.membership_lira import (
    BUNDLE,
    LIRA,
    SHADOWS,
    attack_bundle,
    attack_shadows,
    one_run,
)
from gdshare.audit.nearest_attacks import (
    FEATURES,
    Films,
    features_result,
    loss_control,
    patch_control,
    ratio_result,
)
from gdshare.audit.nearest_patches import NearestPatches, write_nearest
from gdshare.audit.other_films import SecondFilms, open_second
from gdshare.audit.patients import patients_of
from gdshare.audit.reconstruction import NAMES, reconstruct
from gdshare.audit.record import AuditRecord, Calibration, Mode, write_audit
from gdshare.audit.shadows import FOLDER, Start, Workshop, drawn_start, open_workshop
from gdshare.bundle.attacks import Attack
from gdshare.cohort import Cohort, windows_digest
from gdshare.distill.head import Body, body_of
from gdshare.distill.run_folder import is_guarded, read_record, read_result, read_theta0
from gdshare.distill.score_record import tensors_digest
from gdshare.distilled import Distilled
from gdshare.errors import LockedError, RunError, UsageError
from gdshare.lock import lock
from gdshare.method import Method, RunRecord
from gdshare.networks import Parameters, build
from gdshare.private.record import PrivacyRecord, read_own_privacy
from gdshare.private.reference import DRAWING, Drawing
from gdshare.storage import make_folder
from gdshare.theta0 import announced_theta0, shared_weights


@dataclass(frozen=True)
class Effort:
    """How much is distilled for the sake of an audit.

    Attributes:
        shadows: whose patients a coin chooses; quick makes them of heads alone.
        overfitted: sets for the controls.
        planted: sets that hold canaries, and sets for their controls; none without shadows.
    """

    shadows: int
    overfitted: int
    planted: tuple[int, int] = (3, 2)


EFFORTS: Mapping[Mode, Effort] = {"quick": Effort(16, 4), "full": Effort(64, 8, (12, 8))}
FEW_STEPS = 100
"""Training steps of an overfitted set in quick mode, if all weights are trained."""
HOURS = "shadow distillations of a network that is trained whole take hours: use --full"
NO_SHADOWS: Calibration = "none"
PASSES = 14
"""Over all patients' windows, by the attacks that need no shadows and their controls."""


@dataclass(frozen=True)
class Audited:
    """What an audit found.

    Attributes:
        record: every attack with its control.
        nearest: the training patch nearest to each image.
        searched: identifiers that were sought; what was found stays at the hospital.
    """

    record: AuditRecord
    nearest: NearestPatches
    searched: Searched | None = None

    @property
    def attacks(self) -> tuple[Attack, ...]:
        """The attacks that count, as a bundle tells them."""
        return self.record.attacks


def audit_run(
    run: Path,
    cohort: Cohort,
    device: str = "cpu",
    progress: Progress = lambda done, total: None,
    mode: Mode = "quick",
    key: ec.EllipticCurvePrivateKey | None = None,
    leaving: Leaving | None = None,
    second: Cohort | None = None,
) -> Audited:
    """Attack a finished run, and keep figures and nearest patches in its folder.

    All random choices follow from the images themselves, so that nobody can try seeds until a
    figure pleases.

    Args:
        run: the run's folder; ``audit.json``, ``audit.sig`` and ``nearest.safetensors`` in it are
            replaced. Unfinished and finished distillations of the audit lie in ``audit-work``.
        cohort: that the run was distilled from; its test patients had no part in the run.
        device: where to distil and to compute losses.
        progress: called with (parts done, in all).
        mode: ``quick``, minutes, has 16 shadows where only a head is trained, and none else;
            ``full``, hours, has 64.
        key: whoever made the audit signs it with.
        leaving: what would leave, to be searched for identifiers; None: it is not.
        second: labelled from other films of the cohort's patients, for line-ups; None: their own
            films, exposed again (``gdshare.audit.other_films``).

    Raises:
        RunError: the run is not finished, or damaged, or another audit of it is under way.
        UsageError: the run was distilled from another cohort, or ``second`` has another protocol.
        CohortError: too few training or test patients of the same diagnosis, or ``second`` does not
            fit the cohort.
        DivergedError: training on the images leaves the range of numbers.
        LostError: a distillation of the audit makes no progress.
    """
    record, distilled = read_record(run), read_result(run)
    shared = shared_weights(read_theta0(run), record.method, record.protocol.side)
    require_own_cohort(record, cohort)
    others = None if second is None else open_second(cohort, second)
    with _alone_at(run):
        audited = attack_all(
            *(record, distilled, cohort, device, progress, mode, shared, run, leaving),
            guarantee=read_own_privacy(run, record) if is_guarded(run, record) else None,
            second=others,
        )
        write_nearest(run, audited.nearest, distilled)
        write_audit(run, audited.record, key)
    return audited


@contextmanager
def _alone_at(run: Path) -> Iterator[None]:
    """Keep other audits of the same run out."""
    folder = run / FOLDER
    make_folder(folder)
    folder.chmod(0o700)
    with ExitStack() as stack:
        try:
            stack.enter_context(lock(folder / ".lock", timeout_s=0))
        except LockedError as error:
            raise RunError(
                f"another audit of this run is under way ({error.what})", run, error.remedy
            ) from error
        yield


def attack_all(
    record: RunRecord,
    distilled: Distilled,
    cohort: Cohort,
    device: str = "cpu",
    progress: Progress = lambda done, total: None,
    mode: Mode = "quick",
    shared: Parameters | None = None,
    folder: Path | None = None,
    leaving: Leaving | None = None,
    guarantee: PrivacyRecord | None = None,
    drawing: Drawing = DRAWING,
    effort: Effort | None = None,
    start: Start = drawn_start,
    second: SecondFilms | None = None,
) -> Audited:
    """Make every attack and its control.

    Args:
        record, distilled: of the run.
        cohort, device, progress, mode: as for ``audit_run``.
        shared: the weights of the shared model that is the run's announced θ0, if it is one.
        folder: the run's, which keeps what takes long; None keeps nothing.
        leaving: as for ``audit_run``.
        guarantee: of the run, if it has one; then shadows have the same.
        drawing: of the public films that a guarantee looks at.
        effort: None: as much as the mode prescribes.
        start: the state before the run's first training step.
        second: other films of the cohort's patients, for line-ups; None: their own, exposed again.

    Raises:
        UsageError, CohortError, DivergedError, LostError: see ``audit_run``.
        RunError: this machine computes other public coordinates than those of the run's guarantee.
    """
    require_own_cohort(record, cohort)
    if leaving is not None:
        known_of(cohort, leaving.tables)  # a wrong table is named at once
    seed, by_head = seed_of(distilled), record.method.train == "head"
    films = Films(cohort, patients_of(cohort, "train"), patients_of(cohort, "test"), seed)
    people = len(films.members) + len(films.others)
    effort = effort or EFFORTS[mode]
    shadows = effort.shadows if by_head or mode == "full" else 0
    short = mode == "quick" and not by_head
    steps = min(FEW_STEPS, record.settings.outer_steps) if short else record.settings.outer_steps
    own_sets = bool(shadows) and second is not None and len(second.of) < people
    planted = sum(effort.planted) if shadows else 0
    distillations = shadows + effort.overfitted * (1 + own_sets) + planted
    readings = 2 * (shadows + effort.overfitted + 1) if shadows else 0
    count = _Count(progress, PASSES * people + distillations * steps + readings)

    plain = attack_run(record, distilled, cohort, device, count.part(4 * people), shared)
    settled = record.model_copy(
        update={"settings": record.settings.model_copy(update={"outer_steps": steps})}
    )
    workshop = open_workshop(
        *(settled, distilled, cohort, seed, folder, device, shared),
        *(count.part(people), guarantee, drawing, start),
    )
    candidates = workshop.candidates
    few = overfitted_sets(workshop, effort.overfitted, count.step)
    loss, patch = plain.attacks
    results = [
        Result(attack=loss, control=loss_control(films, record, few, NETWORKS, device, shared)),
        Result(attack=patch, control=patch_control(films, count.at)),
        ratio_result(films, distilled, count.at),
    ]
    untried, body = [], _body(workshop, cohort)
    sought, searched = _identifiers(leaving, distilled, cohort)
    if isinstance(sought, Result):
        results.append(sought)
    else:
        untried.append(sought)
    if body is not None:
        results.append(features_result(films, candidates, body, distilled))
    else:
        untried.append(Untried(name=FEATURES, why="scattering does not take patches of this side"))
    bound, calibration = None, NO_SHADOWS
    if shadows:
        evidence = gather(workshop, record, distilled, few, shadows, shared, count.step)
        results += [attack_bundle(name, evidence) for name in (LIRA, BUNDLE)]
        results.append(attack_shadows(evidence))
        bound = one_run(evidence)
        results.append(line_up(evidence, workshop, record, shared, second, count.step))
        found, missing = reconstruct(
            *(workshop, record, distilled, evidence.made, effort.planted, shared, count.step)
        )
        results, untried = results + found, untried + missing
        calibration = "online" if evidence.is_online else "offline"
    else:
        names = (BUNDLE, LIRA, SHADOWS, LINEUP, *NAMES)
        untried += [Untried(name=name, why=HOURS) for name in names]
    count.finish()
    return Audited(
        AuditRecord(
            mode=mode,
            tensors_sha256=tensors_digest(distilled),
            cohort_sha256=record.cohort_sha256,
            patients_sha256=patients_digest(cohort),
            members=len(films.members),
            others=len(films.others),
            random_split=cohort.index.fractions is not None,
            shadows=shadows,
            calibration=calibration,
            results=tuple(sorted(results, key=lambda result: result.attack.name)),
            untried=tuple(sorted(untried, key=lambda attack: attack.name)),
            one_run=bound,
        ),
        plain.nearest,
        searched,
    )


def _identifiers(
    leaving: Leaving | None, distilled: Distilled, cohort: Cohort
) -> tuple[Result | Untried, Searched | None]:
    """Search what would leave, or say why not."""
    if leaving is None:
        return Untried(name=IDENTIFIERS, why="it was not given what would leave"), None
    result, searched = identifiers_result(leaving, distilled, cohort)
    nothing = "nothing is known that is long enough to be sought (--known)"
    return result or Untried(name=IDENTIFIERS, why=nothing), searched


def _body(workshop: Workshop, cohort: Cohort) -> Body | None:
    """What features are compared by: of the run's head, or scattering; None where it cannot be."""
    if workshop.problem.features is not None:
        return workshop.problem.features.body
    side, method = cohort.protocol.side, Method(network="scattering")
    try:
        theta0 = announced_theta0(method, build(method.network, side))
        return body_of(method.network, side, theta0)
    except UsageError:
        return None


def patients_digest(cohort: Cohort) -> str:
    """SHA-256 of the test windows, and of whose every film is."""
    names = sorted({film.patient for film in cohort.films})
    number = {name: index for index, name in enumerate(names)}
    films = [(number[film.patient], film.positive, film.split) for film in cohort.films]
    sha = hashlib.sha256(windows_digest(cohort, ("test",)).encode())
    sha.update(repr(films).encode())
    return sha.hexdigest()


class _Count:
    """Parts done, of all parts."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def step(self) -> None:
        """One more."""
        self._done = min(self._done + 1, self._total)
        self._progress(self._done, self._total)

    def part(self, total: int) -> Progress:
        """For work that reports (done, in all) itself: it counts for ``total`` parts."""
        before = self._done

        def report(done: int, of: int) -> None:
            while self._done < before + total * done // max(of, 1):
                self.step()

        return report

    def at(self, place: int) -> None:
        """For work that tells the place of each part."""
        self.step()

    def finish(self) -> None:
        """What was left out is done too."""
        while self._done < self._total:
            self.step()
