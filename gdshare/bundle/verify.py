"""The rules a bundle must pass, in the order they are enforced.

1.  Size: no file is larger than its bound (layout). Nothing was parsed before this.
2.  Names: the six files and no other (layout).
3.  Form of the signature: ``bundle.sig`` is a Sigstore bundle written in its one form: one
    signature, canonical base64, shortest DER, lower s (envelope).
4.  Signature: made with this key, over exactly this statement (envelope).
5.  Statement and digests: the statement is in its one form, covers the five other files and no
    more, and each file has the digest it lists (digests).
6.  Manifest: a known format version; every field there, none unknown or repeated, each within its
    bounds; written in its one form (manifest).
7.  Site: the manifest names the hospital that owns the key, if the caller says which.
8.  Tensors: the header first; the three float32 tensors in the shapes the manifest implies, no
    metadata, in the one form; finite, in range, soft labels on the simplex (tensors).
9.  Freshness: not made in the future, not expired.

The rules see bytes and a clock, never a file or a socket. ``README.md``, ``preview.png`` and
``croissant.json`` are for people and other tools: they are held to a size and a digest, and never
parsed, decoded or rendered here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.bundle.digests import check_digests, digests_of, listed_digests, subject_digest
from gdshare.bundle.errors import Expired, NotYetValid, WrongSite
from gdshare.bundle.folder import read_folder
from gdshare.bundle.layout import (
    BOUNDS,
    MANIFEST,
    SIGNATURE,
    TENSORS,
    check_complete,
    check_name,
    check_size,
)
from gdshare.bundle.manifest import Manifest
from gdshare.bundle.tensors import read_tensors
from gdshare.distilled import Distilled
from gdshare.errors import GdshareError, UsageError
from gdshare.signing.errors import quoted
from gdshare.signing.names import format_utc
from gdshare.signing.statement import verify_statement

CLOCK_TOLERANCE = timedelta(minutes=10)
"""How far a hospital's clock may run ahead of the reader's."""


@dataclass(frozen=True)
class Bundle:
    """A bundle that passed every rule.

    Attributes:
        manifest: what it says about itself.
        distilled: the tensors.
        digest: identifies the content: the statement's subject digest, 64 hex digits.
    """

    manifest: Manifest
    distilled: Distilled
    digest: str


def verify_files(
    files: Mapping[str, bytes],
    public_key: ec.EllipticCurvePublicKey,
    now: datetime,
    site: str | None = None,
) -> Bundle:
    """Enforce the rules of this module's docstring, in that order.

    Args:
        files: file name -> content.
        public_key: the hospital's key, P-256.
        now: the reader's clock, with a time zone.
        site: the name of the hospital the key belongs to; None leaves that to the caller.

    Raises:
        BundleError: one subclass per reason, see ``gdshare.bundle.errors``.
        UsageError: ``now`` has no time zone.
    """
    for name, content in files.items():
        check_size(name, len(content))
    for name in files:
        check_name(name)
    check_complete(files)
    statement = verify_statement(files[SIGNATURE], public_key, SIGNATURE, BOUNDS[SIGNATURE])
    listed = listed_digests(statement)
    check_digests(files, listed)
    manifest = Manifest.from_bytes(files[MANIFEST])
    check_site(manifest, site)
    distilled = read_tensors(files[TENSORS], manifest)
    check_freshness(manifest, now)
    return Bundle(manifest, distilled, statement.digest)


def read_unverified(files: Mapping[str, bytes], now: datetime) -> Bundle:
    """Enforce every rule that needs no key: anybody may have made this bundle.

    Args:
        files: file name -> content, as ``read_folder`` gave them.
        now: the reader's clock, with a time zone.

    Raises:
        BundleError: one subclass per reason.
    """
    for name, content in files.items():
        check_name(name)
        check_size(name, len(content))
    check_complete(files)
    manifest = Manifest.from_bytes(files[MANIFEST])
    distilled = read_tensors(files[TENSORS], manifest)
    check_freshness(manifest, now)
    return Bundle(manifest, distilled, subject_digest(digests_of(files)))


def verify_folder(path: Path, public_key: ec.EllipticCurvePublicKey, now: datetime) -> Bundle:
    """Read a bundle's folder and enforce the rules on it.

    Raises:
        BundleError: one subclass per reason.
    """
    return verify_files(read_folder(path), public_key, now)


def check_site(manifest: Manifest, site: str | None) -> None:
    """Refuse a bundle of another hospital than its key's owner.

    Raises:
        WrongSite: naming both.
    """
    if site is not None and manifest.site != site:
        raise WrongSite(
            f"{MANIFEST} says the bundle is from {manifest.site}, but the key belongs "
            f"to {quoted(site)}",
            remedy="ask both hospitals before using it",
        )


def check_freshness(manifest: Manifest, now: datetime) -> None:
    """Refuse a bundle from the future or past its expiry.

    Raises:
        NotYetValid: made more than ten minutes after ``now``.
        Expired: ``now`` is at or past its expiry.
        UsageError: ``now`` has no time zone.
    """
    if now.tzinfo is None:
        raise UsageError("the time of verification has no time zone", remedy="pass one in UTC")
    if manifest.created > now + CLOCK_TOLERANCE:
        raise NotYetValid(
            f"{MANIFEST} says the bundle was made at {format_utc(manifest.created)}, still to come",
            remedy="check this machine's clock, then the hospital's",
        )
    if now >= manifest.expires:
        raise Expired(
            f"the bundle expired at {format_utc(manifest.expires)}",
            remedy="ask the hospital whether it will publish a new one",
        )


def sentence(bundle: Bundle) -> str:
    """The outcome for people when every rule was passed."""
    manifest = bundle.manifest
    stated = ""
    if manifest.privacy is not None:
        stated = f"; {manifest.site} states {manifest.privacy.text}, which no bundle can show"
    return (
        f"yes: {manifest.name} is signed with this key and unaltered: "
        f"{manifest.method.images} images of {manifest.protocol.side} x {manifest.protocol.side} "
        f"px, valid until {format_utc(manifest.expires)}, digest {bundle.digest}"
        f"{stated}"
    )


def acceptance(bundle: Bundle) -> dict[str, object]:
    """The outcome for programs when every rule was passed."""
    return {
        "verified": True,
        "digest": bundle.digest,
        "manifest": bundle.manifest.model_dump(mode="json"),
    }


def refusal(fault: GdshareError) -> dict[str, object]:
    """The outcome for programs otherwise: the reason's name and a sentence."""
    return {"verified": False, "reason": type(fault).__name__, "message": str(fault)}
