"""``audit.json`` in a run folder: the attacks on its result, their controls, and their figures.

``audit.sig`` beside it, where somebody signed the audit: a ``statement`` whose subject is the
file's SHA-256. Both stay at the hospital; a bundle tells the attacks' figures alone.
"""

import hashlib
import os
from pathlib import Path
from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from gdshare.audit.figures import OneRun, Result, Untried
from gdshare.bundle.attacks import Attack
from gdshare.bundle.folder import read_plain
from gdshare.distill.score_record import tensors_digest
from gdshare.distilled import Distilled
from gdshare.errors import BundleError, KeyFileError, RunError
from gdshare.signing.keys import fingerprint, public_pem
from gdshare.signing.statement import Statement, sign_statement, verify_self_signed
from gdshare.storage import write_bytes, write_json

AUDIT, SIGNATURE = "audit.json", "audit.sig"
SUBJECT, PREDICATE = "gdshare-audit", "https://gdshare/audit/v1"
ATTACKS = (
    "identifiers/1",
    "membership-bundle/1",
    "membership-lira/1",
    "membership-loss/1",
    "membership-shadows/1",
    "nearest-features/1",
    "nearest-patch/1",
    "nearest-ratio/1",
    "reconstruction-images/1",
    "reconstruction-networks/1",
    "reconstruction-trajectory/1",
    "reidentification-lineup/1",
)
"""The attacks of this gdshare; it publishes no other names."""
MAX_BYTES = 256 * 1024
AGAIN = "make it again with gdshare audit"

Mode = Literal["quick", "full"]
Calibration = Literal["online", "offline", "none"]
Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class OldRecord(BaseModel):
    """``audit.json`` of earlier releases: figures without controls.

    Attributes:
        tensors_sha256: of the result that was attacked.
        tried: sorted by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["gdshare-audit/1"]
    tensors_sha256: Hex
    tried: Annotated[tuple[Attack, ...], Field(alias="attacks")]

    @property
    def attacks(self) -> tuple[Attack, ...]:
        """Those that found something, from below: nobody knows what they would have overlooked."""
        return tuple(attack.at_least for attack in self.tried if attack.finds)

    @property
    def blind(self) -> tuple[str, ...]:
        """The names of the others."""
        return tuple(attack.name for attack in self.tried if not attack.finds)


class AuditRecord(BaseModel):
    """``audit.json``.

    Attributes:
        mode: how much was tried.
        tensors_sha256: of the result that was attacked.
        cohort_sha256: of the training and validation windows, as in ``run.json``.
        patients_sha256: of the test windows, and of which window is which patient's.
        members, others: training and test patients.
        random_split: whether chance decided which; if a table did, members may differ from others
            for reasons that lie in the table.
        shadows: distillations that attacks were calibrated with.
        calibration: online where patients with and without were fitted, offline where only without.
        results: sorted by name.
        untried: attacks that were not made, sorted by name.
        one_run: a lower bound on ε, where there were shadows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["gdshare-audit/2"] = "gdshare-audit/2"
    mode: Mode
    tensors_sha256: Hex
    cohort_sha256: Hex
    patients_sha256: Hex
    members: int
    others: int
    random_split: bool
    shadows: int
    calibration: Calibration
    results: tuple[Result, ...]
    untried: tuple[Untried, ...] = ()
    one_run: OneRun | None = None

    @property
    def attacks(self) -> tuple[Attack, ...]:
        """Those that found something or whose controls fired; no bundle tells the others."""
        return tuple(result.counted for result in self.results if result.counts)

    @property
    def blind(self) -> tuple[str, ...]:
        """The names of those that found nothing, and whose controls did not fire."""
        return tuple(result.attack.name for result in self.results if not result.counts)


_Record: TypeAdapter[OldRecord | AuditRecord] = TypeAdapter(
    Annotated[OldRecord | AuditRecord, Field(discriminator="format")]
)


def write_audit(
    run: Path, record: AuditRecord, key: ec.EllipticCurvePrivateKey | None = None
) -> Path:
    """Write ``audit.json``, and ``audit.sig`` if there is a key; returns the former's path.

    A signature of an earlier audit is removed first.
    """
    (run / SIGNATURE).unlink(missing_ok=True)
    write_json(run / AUDIT, record.model_dump(mode="json"))
    if key is not None:
        statement = _statement(read_plain(run / AUDIT, MAX_BYTES), record, key.public_key())
        write_bytes(run / SIGNATURE, sign_statement(statement, key))
    return run / AUDIT


def _statement(
    content: bytes, record: AuditRecord | OldRecord, key: ec.EllipticCurvePublicKey
) -> Statement:
    predicate = {"run": record.tensors_sha256}
    if isinstance(record, AuditRecord):
        predicate |= {"cohort": record.cohort_sha256, "patients": record.patients_sha256}
    predicate |= {"key": public_pem(key).decode("ascii")}
    return Statement(SUBJECT, hashlib.sha256(content).hexdigest(), PREDICATE, predicate)


def read_attacks(run: Path, distilled: Distilled) -> tuple[Attack, ...]:
    """Read the attacks on a run's result that count; none where there is no ``audit.json``.

    Raises:
        RunError: damaged, about another result, or with a signature that does not belong to it.
    """
    record = read_audit(run, distilled)
    return () if record is None else record.attacks


def read_audit(run: Path, distilled: Distilled) -> AuditRecord | OldRecord | None:
    """Read ``audit.json``; None where there is none.

    Raises:
        RunError: as ``read_attacks``.
    """
    path = run / AUDIT
    try:
        if not os.path.lexists(path):
            return None
        content = read_plain(path, MAX_BYTES)
        record = _Record.validate_json(content)
    except (BundleError, ValidationError) as error:
        raise RunError("cannot be read", path, AGAIN) from error
    if record.tensors_sha256 != tensors_digest(distilled):
        raise RunError("is about another result than the run's", path, AGAIN)
    if any(name not in ATTACKS for name in _names(record)):
        raise RunError("names an unknown attack", path, AGAIN)
    if os.path.lexists(run / SIGNATURE):
        _signer(run, content, record)
    return record


def _names(record: AuditRecord | OldRecord) -> list[str]:
    if isinstance(record, OldRecord):
        return [attack.name for attack in record.tried]
    results = [result.attack.name for result in record.results]
    return results + [untried.name for untried in record.untried]


def signer_of_audit(run: Path, distilled: Distilled) -> str | None:
    """The fingerprint of the key that the audit is signed with; None: nobody signed it.

    The signature shows that its writer holds that key, not who the writer is.

    Raises:
        RunError: as ``read_attacks``.
    """
    record = read_audit(run, distilled)
    if record is None or not os.path.lexists(run / SIGNATURE):
        return None
    return _signer(run, read_plain(run / AUDIT, MAX_BYTES), record)


def _signer(run: Path, content: bytes, record: AuditRecord | OldRecord) -> str:
    path = run / SIGNATURE
    try:
        data = read_plain(path, MAX_BYTES)
        statement, key = verify_self_signed(data, SIGNATURE, MAX_BYTES)
    except (BundleError, KeyFileError) as error:
        raise RunError("is no good signature", path, AGAIN) from error
    if statement != _statement(content, record, key):
        raise RunError("signs another audit", path, AGAIN)
    return fingerprint(key)
