"""Which key an outbox releases with, so that two hospitals' keys are not mixed up.

The ledger names the key of each release; of older releases the bundle itself does. Another key of
the hospital, such as a successor, must be said to be one.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from gdshare.bundle.folder import read_plain
from gdshare.bundle.layout import BOUNDS, SIGNATURE
from gdshare.errors import BundleError, UsageError
from gdshare.ledger import Entry
from gdshare.release.publish import RELEASE
from gdshare.signing.envelope import read_envelope

_SIGNED = re.compile(r"signed with ([0-9a-f]{64})")


def signed_with(signer: str) -> str:
    """Name the key of a release, for the ledger."""
    return f"signed with {signer}"


def require_own_key(
    outbox: Path, entries: Iterable[Entry], key: Path, signer: str, site: str, another: bool
) -> None:
    """Refuse to release with a key that is not known as the hospital's.

    Before the first release, the name of the key's file must begin with the site's.

    Args:
        outbox: the outbox.
        entries: of its ledger.
        key: the key's file.
        signer: the key's fingerprint.
        site: whose bundle it is about to sign.
        another: the user says that this key is the hospital's as well.

    Raises:
        UsageError: it is another key.
    """
    releases = [entry for entry in entries if entry.act == RELEASE]
    signers = [name for entry in releases if (name := signer_of(outbox, entry)) is not None]
    if another or signer in signers:
        return
    if signers:
        raise UsageError(
            f"{site}'s last bundle was released with the key {signers[-1]}, and this is {signer}",
            key,
            "give that key, or add --another-key if this is the hospital's as well",
        )
    if not f"{key.stem}-".startswith(f"{site}-"):
        raise UsageError(
            f"not named as {site}'s key, and nothing was released with it yet",
            key,
            f"give {site}'s own key, or add --another-key if this is it",
        )


def require_bundles_key(outbox: Path, entry: Entry, key: Path, signer: str, another: bool) -> None:
    """Refuse to withdraw a bundle with a key other than its own.

    With an approver's key, for example, the aggregator would refuse the withdrawal: the bundle
    would be gone here and still used there.

    Args:
        outbox: the outbox.
        entry: the ledger's line of the bundle's release.
        key: the key's file.
        signer: the key's fingerprint.
        another: the user says that this key is the hospital's as well.

    Raises:
        UsageError: it is another key. Where neither ledger nor bundle names one, nothing is
            checked: that must not delay a withdrawal.
    """
    released = signer_of(outbox, entry)
    if released not in (None, signer) and not another:
        raise UsageError(
            f"{entry.what} was released with the key {released}, and this is {signer}",
            key,
            "give that key, or add --another-key if this is the hospital's as well",
        )


def signer_of(outbox: Path, entry: Entry) -> str | None:
    """The fingerprint of the key of a release; None where neither ledger nor bundle tells."""
    match = _SIGNED.search(entry.why)
    if match is not None:
        return match[1]
    try:
        signature = read_plain(outbox / entry.what / SIGNATURE, BOUNDS[SIGNATURE])
        return read_envelope(signature, SIGNATURE).hint
    except BundleError:  # gone or damaged
        return None
