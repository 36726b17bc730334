"""A person's signature on what would leave.

One file per approver, ``approvals/FINGERPRINT.sig``: a ``gdshare.signing.statement`` whose subject
is the content's digest, and which names the policy it was checked against. Its predicate type is
not a bundle's, so that neither passes for the other.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.bundle.digests import SUBJECT
from gdshare.errors import BundleError, KeyFileError, PolicyError
from gdshare.plain_files import read_plain
from gdshare.release.policy import Policy, policy_digest
from gdshare.release.prepared import APPROVALS, Prepared
from gdshare.signing import fingerprint
from gdshare.signing.keys import public_pem
from gdshare.signing.statement import Statement, sign_statement, verify_self_signed
from gdshare.storage import write_bytes

PREDICATE_TYPE = "https://gdshare/approval/v1"
MAX_BYTES = 16 * 1024
MAX_FILES = 100
_NAME = re.compile(r"[0-9a-f]{64}\.sig")


@dataclass(frozen=True)
class Approval:
    """A verified approval.

    Attributes:
        fingerprint: of the key that signed it.
        by: the approver's name, as the approver gave it.
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
            remedy="have it entered there, or approve with a key that is",
        )


def approve(prepared: Prepared, policy: Policy, by: str, key: ec.EllipticCurvePrivateKey) -> Path:
    """Approve a prepared bundle; returns the approval's file.

    Raises:
        PolicyError: this key may not approve.
    """
    require_approver(policy, key.public_key())
    name = fingerprint(key.public_key())
    path = prepared.path / APPROVALS / f"{name}.sig"
    write_bytes(path, sign_statement(_statement(prepared, policy, by, key.public_key()), key))
    return path


def read_approvals(prepared: Prepared, policy: Policy) -> tuple[Approval, ...]:
    """Read all approvals.

    Raises:
        PolicyError: any file there is damaged, approves other content or by another policy, or is
            signed with a key that may not approve.
    """
    paths = sorted((prepared.path / APPROVALS).glob("*"))
    if len(paths) > MAX_FILES:
        raise PolicyError(f"holds {len(paths)} files", prepared.path / APPROVALS, "remove them")
    return tuple(_read(path, prepared, policy) for path in paths)


def require_approved(approvals: Sequence[Approval], policy: Policy, signer: str) -> None:
    """Refuse what too few people have approved.

    Args:
        approvals: verified approvals.
        policy: says how many it takes.
        signer: fingerprint of the key that will sign the bundle; its owner does not count.

    Raises:
        PolicyError: too few.
    """
    people = {approval.fingerprint for approval in approvals} - {signer}
    if len(people) < policy.release.approvals:
        raise PolicyError(
            f"{len(people)} of {policy.release.approvals} approvals are there, besides "
            "the one who signs",
            remedy="have it approved with gdshare approve",
        )


def _read(path: Path, prepared: Prepared, policy: Policy) -> Approval:
    if _NAME.fullmatch(path.name) is None:
        raise PolicyError(
            f"{path.name!r:.100} is not an approval", prepared.path / APPROVALS, "remove it"
        )
    try:
        data = read_plain(path, MAX_BYTES, follow=False)
        statement, key = verify_self_signed(data, path.name, MAX_BYTES)
    except (OSError, BundleError, KeyFileError) as error:
        raise PolicyError(
            f"not a sound approval ({error})", path, "have it approved again"
        ) from error
    by = str(statement.predicate.get("by"))
    if not by.isprintable():  # such as half of a surrogate pair, which JSON can spell
        raise PolicyError(
            "not a sound approval (its name cannot be shown)", path, "have it approved again"
        )
    if statement.to_bytes() != _statement(prepared, policy, by, key).to_bytes():
        raise PolicyError(
            "approves other content, or by another policy, than there is now",
            path,
            "look at it again and approve it again",
        )
    signer = fingerprint(key)
    if signer not in policy.release.approvers:
        raise PolicyError(
            f"signed with {signer}, which the policy does not name as an approver", path
        )
    return Approval(signer, by)


def _statement(
    prepared: Prepared, policy: Policy, by: str, key: ec.EllipticCurvePublicKey
) -> Statement:
    pem = public_pem(key).decode("ascii")
    predicate = {"policy": policy_digest(policy), "by": by, "key": pem}
    return Statement(SUBJECT, prepared.digest, PREDICATE_TYPE, predicate)
