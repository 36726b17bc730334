"""The release gate: what leaves a hospital is prepared, seen, approved and only then released.

::

    prepare     what would leave, every file, picture and number, and what the policy says of it
    approve     a person's signature on the digest of exactly that
    release     drawn anew, compared, held to policy and approvals, signed, into the outbox

Whatever is missing, altered or in doubt in between refuses the release.
"""

from gdshare.release.approval import Approval, approve, read_approvals, require_approver
from gdshare.release.policy import Finding, Policy, policy_digest, read_policy, require_allowed
from gdshare.release.prepared import Prepared, drawn, prepare, read_prepared
from gdshare.release.sign import sign_prepared

__all__ = [
    "Approval",
    "Finding",
    "Policy",
    "Prepared",
    "approve",
    "drawn",
    "policy_digest",
    "prepare",
    "read_approvals",
    "read_policy",
    "read_prepared",
    "require_allowed",
    "require_approver",
    "sign_prepared",
]
