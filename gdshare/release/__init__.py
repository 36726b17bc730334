"""How a bundle leaves a hospital: prepared, reviewed, approved and only then released.

::

    prepare     what would leave: every file, picture and number, and what the policy says of it
    approve     a person's signature on the digest of exactly that
    release     rebuilt, compared, checked against policy and approvals, signed, put into the outbox
    withdraw    taken back, for good

Anything missing, altered or doubtful stops the release. ``policy`` is the hospital's policy and
``rules`` holds a bundle to it; ``prepared`` and ``approval`` are what people see and sign; ``sign``
and ``publish`` put a bundle into the outbox, ``withdraw`` takes it out, and ``receipts`` records
what the aggregator made of it.
"""

from gdshare.release.approval import Approval, approve, read_approvals, require_approver
from gdshare.release.policy import Policy, policy_digest, read_policy
from gdshare.release.prepared import Prepared, prepare, prepared_from, read_prepared
from gdshare.release.rules import Finding, require_allowed
from gdshare.release.sign import sign_prepared

__all__ = [
    "Approval",
    "Finding",
    "Policy",
    "Prepared",
    "approve",
    "policy_digest",
    "prepare",
    "prepared_from",
    "read_approvals",
    "read_policy",
    "read_prepared",
    "require_allowed",
    "require_approver",
    "sign_prepared",
]
