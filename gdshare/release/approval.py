"""A person's signature on what would leave.

One file an approver, ``approvals/FINGERPRINT.sig``: the envelope of ``bundle.sig`` (DSSE, ECDSA on
P-256) around an in-toto statement that names the digest of the content and of the policy it was
judged by. Its predicate is another than a bundle's, so that neither passes for the other.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.bundle.model_signing import SUBJECT
from gdshare.errors import BundleError, KeyFileError, PolicyError
from gdshare.release.policy import Policy, policy_digest
from gdshare.release.prepared import APPROVALS, Prepared
from gdshare.signing import canonical, fingerprint
from gdshare.signing.envelope import Envelope, check_signature, read_envelope, sign
from gdshare.signing.errors import MalformedSignature
from gdshare.signing.keys import parse_public_key, public_pem
from gdshare.signing.statement import STATEMENT_TYPE
from gdshare.storage import write_bytes

PREDICATE_TYPE = "https://gdshare/approval/v1"
MAX_BYTES = 16 * 1024
MAX_FILES = 100
_NAME = re.compile(r"[0-9a-f]{64}\.sig")


@dataclass(frozen=True)
class Approval:
    """A good one.

    Attributes:
        fingerprint: of the key that signed it.
        by: who that says they are.
    """

    fingerprint: str
    by: str


def require_approver(policy: Policy, key: ec.EllipticCurvePublicKey) -> None:
    """Refuse a key that may not approve.

    Raises:
        PolicyError: the policy does not name it.
    """
    name = fingerprint(key)
    if name not in policy.release.approvers:
        raise PolicyError(
            f"the key {name} is not among the policy's approvers",
            remedy="have it entered there, or approve with one that is",
        )


def approve(prepared: Prepared, policy: Policy, by: str, key: ec.EllipticCurvePrivateKey) -> Path:
    """Sign what would leave; returns the file.

    Raises:
        PolicyError: this key may not approve.
    """
    require_approver(policy, key.public_key())
    name = fingerprint(key.public_key())
    statement = _statement(prepared.digest, policy_digest(policy), by, public_pem(key.public_key()))
    path = prepared.path / APPROVALS / f"{name}.sig"
    write_bytes(path, sign(statement, key).to_bytes())
    return path


def read_approvals(prepared: Prepared, policy: Policy) -> tuple[Approval, ...]:
    """Read all approvals, each by a key of its own that the policy names.

    Raises:
        PolicyError: one that is damaged, of another content or policy, or by a key that may not
            approve. Nothing is passed over.
    """
    paths = sorted((prepared.path / APPROVALS).glob("*"))
    if len(paths) > MAX_FILES:
        raise PolicyError(f"holds {len(paths)} files", prepared.path / APPROVALS, "remove them")
    return tuple(_read(path, prepared, policy) for path in paths)


def require_approved(approvals: Sequence[Approval], policy: Policy, signer: str) -> None:
    """Refuse what too few people have approved.

    Args:
        approvals: good ones.
        policy: how many it takes.
        signer: fingerprint of the key that will sign the bundle; its owner does not count.

    Raises:
        PolicyError: too few.
    """
    people = {one.fingerprint for one in approvals} - {signer}
    if len(people) < policy.release.approvals:
        raise PolicyError(
            f"{len(people)} of {policy.release.approvals} approvals are there, besides "
            "the one who signs",
            remedy="have it approved with gdshare approve",
        )


def _read(path: Path, prepared: Prepared, policy: Policy) -> Approval:
    if _NAME.fullmatch(path.name) is None:
        raise PolicyError(
            f"{path.name!r:.100} is no approval", prepared.path / APPROVALS, "remove it"
        )
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise MalformedSignature("too large")
        envelope = read_envelope(data, path.name)
        told = canonical.parse(envelope.payload, path.name, MalformedSignature)
        by, pem = _dug(told)
        key = parse_public_key(pem, path.name)
        check_signature(envelope, key, path.name)
    except (OSError, BundleError, KeyFileError) as error:
        raise PolicyError(f"no sound approval ({error})", path, "have it approved anew") from error
    wanted = _statement(prepared.digest, policy_digest(policy), by, pem)
    if envelope.payload != wanted:
        raise PolicyError(
            "approves another content, or by another policy, than there is now",
            path,
            "look at it again and approve it anew",
        )
    return _allowed(path, envelope, policy, by)


def _allowed(path: Path, envelope: Envelope, policy: Policy, by: str) -> Approval:
    if envelope.hint not in policy.release.approvers:
        raise PolicyError(
            f"signed with {envelope.hint}, which the policy does not name as an approver", path
        )
    return Approval(envelope.hint, by)


def _dug(told: Any) -> tuple[str, bytes]:
    try:
        predicate = told["predicate"]
        by, pem = predicate["by"], predicate["key"]
        if not (isinstance(by, str) and isinstance(pem, str)):
            raise TypeError
    except (KeyError, TypeError) as error:
        raise MalformedSignature("it names nobody") from error
    return by, pem.encode()


def _statement(digest: str, policy: str, by: str, pem: bytes) -> bytes:
    return canonical.compact(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": SUBJECT, "digest": {"sha256": digest}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {"policy": policy, "by": by, "key": pem.decode("ascii")},
        }
    )
