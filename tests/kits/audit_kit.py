"""Audits for tests that need the figures and not the attacks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gdshare.audit.figures import Control, Result
from gdshare.audit.record import AuditRecord, write_audit
from gdshare.bundle.attacks import Attack
from gdshare.distill.run_folder import read_result
from gdshare.distill.score_record import tensors_digest
from gdshare.distilled import Distilled
from gdshare.release.bounds import STANDARD_BOUNDS

FIRED = Control(what="a leak", figure=0.9, low=0.8, high=1.0, unrelated=0.5)
SILENT = FIRED.model_copy(update={"low": 0.5})


def attack_at(name: str, figure: float) -> Attack:
    """What was found, without an interval."""
    return Attack(name=name, figure=figure, low=figure, high=figure, unrelated=figure)


WITHIN_BOUNDS = tuple(attack_at(name, own.highest) for name, own in STANDARD_BOUNDS.items())
"""What the bounds of a hospital's first policy just let pass."""


def record_of(
    distilled: Distilled, attacks: Sequence[Attack], control: Control = FIRED, **changes: Any
) -> AuditRecord:
    """The record of these attacks, all with the same control."""
    fields: dict[str, Any] = {
        "mode": "quick",
        "tensors_sha256": tensors_digest(distilled),
        "cohort_sha256": "c" * 64,
        "patients_sha256": "d" * 64,
        "members": 20,
        "others": 10,
        "random_split": True,
        "shadows": 0,
        "calibration": "none",
        "results": tuple(Result(attack=attack, control=control) for attack in attacks),
    }
    return AuditRecord(**fields | changes)


def write_attacks(
    run: Path, distilled: Distilled, attacks: Sequence[Attack], control: Control = FIRED
) -> Path:
    """Write the ``audit.json`` of these attacks."""
    return write_audit(run, record_of(distilled, attacks, control))


def audit_within_bounds(run: Path) -> Path:
    """Write an ``audit.json`` with which a finished run may leave by the first policy."""
    return write_attacks(run, read_result(run), WITHIN_BOUNDS)
