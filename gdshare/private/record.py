"""``privacy.json`` in a run folder: the guarantee, the noisy statistic, and what is outside.

It is on the disk before the first training step, and a resumed run reads the statistic from it: to
draw the noise again would spend the budget again.
"""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gdshare.distill.run_folder import PRIVACY
from gdshare.errors import RunError, UsageError
from gdshare.method import Counts, RunRecord
from gdshare.plain_files import MAX_RECORD, read_plain
from gdshare.private.account import Budget, Spending
from gdshare.private.query import GRID
from gdshare.private.statistic import Shape, Statistic, patient_numbers
from gdshare.storage import write_json

ADJACENCY = "one training patient more or less, with all films; the rest, and the split, the same"
NOISE = "normal, rounded to the grid, from the operating system"
RESTORE = "restore the file that the run wrote"

READS: tuple[tuple[str, str, str], ...] = (
    ("class means of training patients' features", "inside", "the two queries"),
    ("training patients of each diagnosis", "inside", "counted by the queries; run.json has them"),
    (
        "training patches of each class",
        "inside",
        "the noisy numbers of patients, times the windows that are looked at in each",
    ),
    ("the organ's centre, about which patients are clipped", "inside", "the coarse query's answer"),
    ("coordinates, second moments, bounds", "public", "drawn films, and constants"),
    ("which windows of a patient are looked at", "inside", "chosen by that patient alone"),
    ("normalisation of gray levels", "public", "the protocol's; a site's own is refused"),
    ("which training step is the result", "inside", "scored on surrogates, not on patients"),
    ("score.json, and the rule about images at chance", "inside", "scored on surrogates"),
    ("number of training steps, learning rates, seed", "public", "fixed before the run"),
    ("the patch protocol", "public", "if it was agreed; not if fitted to the films (--patch auto)"),
    ("division of the patients into splits", "outside", "taken as given"),
    ("whether δ is below 1 / patients", "not published", "read once; a refusal is not a release"),
    ("digest of the cohort", "not published", "in run.json, which stays here"),
    ("validation patients", "not published", "the run does not read them"),
    ("figures of attacks", "not published", "a bundle of this run has none"),
    ("the threshold ε, and counts of test films", "outside", "released by the node, by its policy"),
    ("settings that were tried before", "outside", "each run spends its own budget"),
)
"""Everything that reads patients, or could: what, where it stands, and why."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class QueryRecord(_Frozen):
    """A Gaussian query.

    Attributes:
        bound: of a patient's vector in L2: clip and sensitivity at once.
        multiplier: deviation of the noise over the bound.
        grid: steps of the grid in a unit.
        answer: the noisy sum, in steps.
    """

    bound: Annotated[float, Field(gt=0)]
    multiplier: Annotated[float, Field(ge=0)]
    grid: Annotated[int, Field(ge=1)]
    answer: tuple[int, ...]


class ShapeRecord(_Frozen):
    """What was fixed beforehand, see ``Shape``."""

    dimension: Annotated[int, Field(ge=1)]
    windows: Annotated[int, Field(ge=1)]
    coarse_radius: Annotated[float, Field(gt=0)]
    fine_radius: Annotated[float, Field(gt=0)]
    coarse_weight: Annotated[float, Field(gt=0)]
    fine_weight: Annotated[float, Field(gt=0)]
    coarse_share: Annotated[float, Field(gt=0, lt=1)]
    fewest: Annotated[int, Field(ge=1)]


class Read(_Frozen):
    """Something that reads patients, or could."""

    what: str
    where: str
    why: str


class PrivacyRecord(_Frozen):
    """The content of ``privacy.json``.

    Attributes:
        epsilon, delta: that were asked for.
        epsilon_spent: at δ, by the accountant; at most ``epsilon``.
        coarse, fine: the two queries.
        shape: what was fixed beforehand.
        reference_sha256: of the public coordinates.
        reads: everything that reads patients, and where it stands.
    """

    format: Literal["gdshare-privacy/1"] = "gdshare-privacy/1"
    mechanism: Literal["class-means/1"] = "class-means/1"
    unit: Literal["patient"] = "patient"
    adjacency: str = ADJACENCY
    epsilon: float
    delta: float
    epsilon_spent: float
    accountant: str
    noise: str = NOISE
    coarse: QueryRecord
    fine: QueryRecord
    shape: ShapeRecord
    reference_sha256: str
    reads: tuple[Read, ...]

    @property
    def statistic(self) -> Statistic:
        """The answers."""
        return Statistic(self.coarse.answer, self.fine.answer)

    @property
    def multipliers(self) -> tuple[float, float]:
        """Of the coarse query and the fine one."""
        return self.coarse.multiplier, self.fine.multiplier

    @property
    def fixed(self) -> Shape:
        """What was fixed beforehand."""
        return Shape(**self.shape.model_dump())


def privacy_record(
    budget: Budget, spending: Spending, shape: Shape, statistic: Statistic, reference_sha256: str
) -> PrivacyRecord:
    """The record of a statistic that was just drawn."""
    coarse, fine = (
        QueryRecord(bound=query.bound, multiplier=query.multiplier, grid=GRID, answer=answer)
        for query, answer in zip(
            shape.queries(spending.multipliers), (statistic.coarse, statistic.fine), strict=True
        )
    )
    return PrivacyRecord(
        epsilon=budget.epsilon,
        delta=budget.delta,
        epsilon_spent=spending.epsilon,
        accountant=spending.accountant,
        coarse=coarse,
        fine=fine,
        shape=ShapeRecord(**asdict(shape)),
        reference_sha256=reference_sha256,
        reads=tuple(Read(what=what, where=where, why=why) for what, where, why in READS),
    )


def write_privacy(out: Path, record: PrivacyRecord) -> None:
    """Write ``privacy.json``, whole or not at all; it is on the disk when this returns."""
    write_json(out / PRIVACY, record.model_dump(mode="json"))


def noisy_counts(statistic: Statistic, shape: Shape) -> Counts:
    """The counts of training data that a statistic gives: ``run.json`` has them, and a bundle.

    Patches are the noisy numbers of patients, times the windows that are looked at in each.
    """
    irrelevant, negative, positive = patient_numbers(statistic, shape)
    return Counts(
        patients_negative=negative,
        patients_positive=positive,
        patches_i=irrelevant * shape.windows,
        patches_n=negative * shape.windows,
        patches_p=positive * shape.windows,
    )


def read_privacy(out: Path) -> PrivacyRecord:
    """Read ``privacy.json``.

    Raises:
        RunError: not there, or damaged. The noise is never drawn again for the same run.
    """
    return _read(out)[0]


def privacy_digest(out: Path) -> str:
    """SHA-256 of ``privacy.json``, by which ``run.json`` names it.

    Raises:
        RunError: as for ``read_privacy``.
    """
    return _read(out)[1]


def read_own_privacy(out: Path, run: RunRecord) -> PrivacyRecord:
    """Read the ``privacy.json`` of this very run, as it was when the run began.

    Args:
        out: the run's folder.
        run: its ``run.json``. Of before runs named their record, its noisy counts are compared.

    Raises:
        RunError: not there, damaged, changed since, another run's, or no guarantee that this
            gdshare knows.
    """
    record, digest = _read(out)
    is_named = run.privacy_sha256 in (None, digest)
    try:
        counts = noisy_counts(record.statistic, record.fixed)
    except (ValueError, OverflowError) as error:
        raise RunError(f"cannot be read ({error})", out / PRIVACY, RESTORE) from error
    if not is_named or run.counts != counts:
        raise RunError(
            "was changed after the run began, or is another run's", out / PRIVACY, RESTORE
        )
    is_known = (record.adjacency, record.noise) == (ADJACENCY, NOISE)
    is_kept = 0.0 < record.epsilon_spent <= record.epsilon and 0.0 not in record.multipliers
    if not (is_known and is_kept):
        raise RunError("holds no guarantee that this gdshare knows", out / PRIVACY, RESTORE)
    return record


def _read(out: Path) -> tuple[PrivacyRecord, str]:
    """``privacy.json``, and the SHA-256 of these very bytes."""
    path = out / PRIVACY
    try:
        data = read_plain(path, MAX_RECORD)
        return PrivacyRecord.model_validate_json(data), hashlib.sha256(data).hexdigest()
    except (OSError, ValidationError) as error:
        raise RunError(
            "the noisy statistic is gone or damaged, and to draw it again would spend the budget "
            "again",
            path,
            f"{RESTORE}, or start in a new folder and count both budgets",
        ) from error


def require_budget(record: PrivacyRecord, budget: Budget | None) -> None:
    """Refuse to resume under another guarantee.

    Raises:
        UsageError: the budget is not the run's.
    """
    if budget is not None and (budget.epsilon, budget.delta) != (record.epsilon, record.delta):
        raise UsageError(
            f"the run has ε {record.epsilon:g} and δ {record.delta:g}",
            "--epsilon or --delta with --resume",
            "leave them out",
        )
