"""Verifying what nodes sent: nothing else reads a bundle before this.

``verify_bytes`` runs once per bundle: size, names, signature, key, content and freshness, all by
``gdshare.bundle.verify_files``. The outcome depends on the bytes, the trust list and the round's
clock only; the ``rules`` of a round come after it.
"""

from collections.abc import Mapping
from datetime import datetime

from aggregator.refusals import Refusal, UnknownSite
from aggregator.verified import Verified
from gdshare.bundle import verify_files
from gdshare.bundle.layout import BOUNDS, SIGNATURE
from gdshare.errors import BundleError
from gdshare.signing.errors import WrongKey
from gdshare.signing.statement import signer_of
from gdshare.trust.keys import Trust, TrustedKey


def verify_bytes(
    bundles: Mapping[int, Mapping[str, bytes]], trust: Trust, now: datetime
) -> tuple[list[Verified], list[Refusal]]:
    """Verify what strangers sent, each bundle with the one key that its signature names.

    Args:
        bundles: node -> file name -> content.
        trust: the keys of the hospitals, at least one.
        now: the aggregator's clock, UTC.

    Returns:
        verified bundles and refusals, both by node.
    """
    verified: list[Verified] = []
    refusals: list[Refusal] = []
    for node, files in sorted(bundles.items()):
        try:
            verified.append(_verify(node, files, trust, now))
        except BundleError as error:
            refusals.append(Refusal(node, None, type(error).__name__, str(error)))
    return verified, refusals


def _verify(node: int, files: Mapping[str, bytes], trust: Trust, now: datetime) -> Verified:
    """Verify with the key that the signature names; it names one, so no other can fit.

    A bundle that names no key of the list is verified with any: what is wrong with its files is
    found before its key is, and is the better reason.
    """
    trusted = _named_key(files, trust) or trust.keys[0]
    try:
        bundle = verify_files(files, trusted.key, now, trusted.site)
    except WrongKey:
        raise UnknownSite(
            "signed with a key that is not on the trust list",
            remedy="ask the hospital for its .pub",
        ) from None
    return Verified(node, bundle, trusted.fingerprint, files)


def _named_key(files: Mapping[str, bytes], trust: Trust) -> TrustedKey | None:
    """The key whose fingerprint the signature names; nothing is verified yet."""
    try:
        return trust.find(signer_of(files[SIGNATURE], SIGNATURE, BOUNDS[SIGNATURE]))
    except (KeyError, BundleError):
        return None
