"""``audit.json`` in a run folder: the attacks on its result, and their figures."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gdshare.bundle.attacks import Attack
from gdshare.bundle.folder import read_plain
from gdshare.distill.score_record import tensors_digest
from gdshare.distilled import Distilled
from gdshare.errors import BundleError, RunError
from gdshare.storage import write_json

AUDIT = "audit.json"
ATTACKS = ("membership-loss/1", "nearest-patch/1")
"""The attacks of this gdshare; it publishes no other names."""
MAX_BYTES = 64 * 1024


class AuditRecord(BaseModel):
    """``audit.json``.

    Attributes:
        tensors_sha256: of the result that was attacked.
        attacks: sorted by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["gdshare-audit/1"] = "gdshare-audit/1"
    tensors_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    attacks: tuple[Attack, ...]


def write_attacks(run: Path, distilled: Distilled, attacks: tuple[Attack, ...]) -> Path:
    """Write ``audit.json``, whole or not at all; returns its path."""
    record = AuditRecord(tensors_sha256=tensors_digest(distilled), attacks=attacks)
    write_json(run / AUDIT, record.model_dump(mode="json"))
    return run / AUDIT


def read_attacks(run: Path, distilled: Distilled) -> tuple[Attack, ...]:
    """Read the attacks on a run's result; none where there is no ``audit.json``.

    Raises:
        RunError: damaged, or about another result.
    """
    path = run / AUDIT
    try:
        if not os.path.lexists(path):
            return ()
        record = AuditRecord.model_validate_json(read_plain(path, MAX_BYTES))
    except (BundleError, ValidationError) as error:
        raise RunError("cannot be read", path, "make it again with gdshare audit") from error
    if record.tensors_sha256 != tensors_digest(distilled):
        raise RunError(
            "is about another result than the run's", path, "make it again with gdshare audit"
        )
    if any(attack.name not in ATTACKS for attack in record.attacks):
        raise RunError("names an unknown attack", path, "make it again with gdshare audit")
    return record.attacks
