"""From what was prepared and approved to a signed bundle's files."""

from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.bundle import build_files, fingerprint
from gdshare.bundle.layout import SIGNED
from gdshare.errors import PolicyError
from gdshare.gate.approval import read_approvals, require_approved
from gdshare.gate.policy import Policy, require_allowed
from gdshare.gate.prepared import Prepared, Render


def sign_prepared(
    prepared: Prepared, policy: Policy, key: ec.EllipticCurvePrivateKey, render: Render
) -> dict[str, bytes]:
    """Hold what was prepared to the policy and its approvals, then sign it.

    Args:
        prepared: as ``read_prepared`` gave it.
        policy: the hospital's.
        key: its own.
        render: draws the preview.

    Returns:
        The bundle's files; those that are signed are the prepared ones, byte for byte.

    Raises:
        PolicyError: the policy does not let it out, or too few people have approved it.
    """
    require_allowed(policy, prepared.manifest)
    approvals = read_approvals(prepared, policy)
    require_approved(approvals, policy, fingerprint(key.public_key()))
    files = build_files(prepared.manifest, prepared.distilled, render(prepared.distilled), key)
    if any(files[name] != prepared.files[name] for name in SIGNED):
        raise PolicyError(f"{prepared.path}: is not what would be signed; prepare it again")
    return files
