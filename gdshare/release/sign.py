"""Signing a prepared bundle, after a last check of policy, approvals and ledger."""

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.bundle.digests import digests_of, statement_of
from gdshare.bundle.layout import SIGNATURE
from gdshare.errors import PolicyError
from gdshare.ledger import Entry, in_one_line
from gdshare.release.approval import Approval, read_approvals, require_approved
from gdshare.release.consent import require_consent
from gdshare.release.override import Override, others_override, read_overrides
from gdshare.release.policy import Policy, by_policy
from gdshare.release.prepared import Prepared
from gdshare.release.rules import require_allowed
from gdshare.signing import fingerprint
from gdshare.signing.statement import sign_statement

PREPARE, APPROVE, OVERRIDE = "prepare", "approve", "override"


def require_recorded(
    prepared: Prepared, policy: Policy, approvals: Sequence[Approval], entries: Sequence[Entry]
) -> None:
    """Refuse what the ledger does not show as prepared, and as often approved as the folder says.

    Raises:
        PolicyError: made or approved without ``gdshare prepare`` and ``approve``, or under an
            earlier policy.
    """
    recorded = [
        entry
        for entry in entries
        if entry.digest == prepared.digest and entry.why == by_policy(policy)
    ]
    if not any(entry.act == PREPARE for entry in recorded):
        raise PolicyError(
            "the ledger does not show that it was prepared under this policy",
            prepared.path,
            "prepare it with gdshare prepare",
        )
    count = sum(entry.act == APPROVE for entry in recorded)
    if count < len(approvals):
        raise PolicyError(
            f"has more approvals ({len(approvals)}) than the ledger shows ({count})",
            prepared.path,
            "have it approved with gdshare approve",
        )


def require_override_recorded(
    prepared: Prepared, override: Override, entries: Sequence[Entry]
) -> None:
    """Refuse an override that the ledger does not show.

    Raises:
        PolicyError: made without ``gdshare approve --despite``.
    """
    line = (OVERRIDE, prepared.digest, in_one_line(override.text))
    if line not in [(entry.act, entry.digest, entry.why) for entry in entries]:
        raise PolicyError(
            "the ledger does not show that its bounds were overridden",
            prepared.path,
            "have it overridden with gdshare approve --despite",
        )


def sign_prepared(
    prepared: Prepared, policy: Policy, key: ec.EllipticCurvePrivateKey, entries: Sequence[Entry]
) -> tuple[dict[str, bytes], tuple[Approval, ...]]:
    """Check a prepared bundle against policy, approvals and ledger, then sign it.

    Args:
        prepared: as ``read_prepared`` gave it.
        policy: the hospital's.
        key: its own.
        entries: of the ledger.

    Returns:
        the bundle's six files, five of them byte for byte as prepared; and the approvals.

    Raises:
        PolicyError: the policy does not allow it, nobody consents to the shared model it was
            distilled for, too few people have approved it, or the ledger does not show that it was
            prepared.
    """
    signer = fingerprint(key.public_key())
    overrides = read_overrides(prepared, policy)
    overridden = others_override(overrides, signer)
    if overrides and overridden is None:
        raise PolicyError(
            "its bounds were overridden with the key alone that signs it, which does not count",
            prepared.path,
            "have another approver override them with gdshare approve --despite",
        )
    require_allowed(policy, prepared.manifest, overridden is not None)
    if overridden is not None:
        require_override_recorded(prepared, overridden, entries)
    require_consent(prepared.manifest, entries)
    approvals = read_approvals(prepared, policy)
    require_approved(approvals, policy, signer)
    require_recorded(prepared, policy, approvals, entries)
    signature = sign_statement(statement_of(digests_of(prepared.files)), key)
    return {**prepared.files, SIGNATURE: signature}, approvals
