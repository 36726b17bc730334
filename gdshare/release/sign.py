"""From what was prepared and approved to a signed bundle's files."""

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.bundle.digests import digests_of, statement_of
from gdshare.bundle.layout import SIGNATURE
from gdshare.errors import PolicyError
from gdshare.ledger import Entry
from gdshare.release.approval import Approval, read_approvals, require_approved
from gdshare.release.policy import Policy, by_policy, require_allowed
from gdshare.release.prepared import Prepared
from gdshare.signing import fingerprint
from gdshare.signing.statement import sign_statement

PREPARE, APPROVE = "prepare", "approve"


def require_recorded(
    prepared: Prepared, policy: Policy, approvals: Sequence[Approval], entries: Sequence[Entry]
) -> None:
    """Refuse what the ledger does not know as prepared, and approved as often as it claims to be.

    Raises:
        PolicyError: made or approved without ``gdshare prepare`` and ``approve``, or before the
            policy was what it is now.
    """
    known = [
        entry
        for entry in entries
        if entry.digest == prepared.digest and entry.why == by_policy(policy)
    ]
    if not any(entry.act == PREPARE for entry in known):
        raise PolicyError(
            "the ledger knows nothing of its being prepared by this policy",
            prepared.path,
            "prepare it with gdshare prepare",
        )
    recorded = sum(entry.act == APPROVE for entry in known)
    if recorded < len(approvals):
        raise PolicyError(
            f"holds {len(approvals)} approvals and the ledger knows of {recorded}",
            prepared.path,
            "have it approved with gdshare approve",
        )


def sign_prepared(
    prepared: Prepared, policy: Policy, key: ec.EllipticCurvePrivateKey, entries: Sequence[Entry]
) -> tuple[dict[str, bytes], tuple[Approval, ...]]:
    """Hold what was prepared to the policy, its approvals and the ledger, then sign it.

    Args:
        prepared: as ``read_prepared`` gave it.
        policy: the hospital's.
        key: its own.
        entries: of the ledger.

    Returns:
        The bundle's files, those that are signed byte for byte as prepared; and the approvals.

    Raises:
        PolicyError: the policy does not let it out, too few people have approved it, or the ledger
            does not know of it.
    """
    require_allowed(policy, prepared.manifest)
    approvals = read_approvals(prepared, policy)
    require_approved(approvals, policy, fingerprint(key.public_key()))
    require_recorded(prepared, policy, approvals, entries)
    signature = sign_statement(statement_of(digests_of(prepared.files)), key)
    return {**prepared.files, SIGNATURE: signature}, approvals
