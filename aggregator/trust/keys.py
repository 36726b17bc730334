"""Whose bundles are believed: a folder of public keys, and the ledger beside it.

::

    TRUST/SITE.pub                 a hospital's key
    TRUST/SITE.FINGERPRINT.pub     a further one, the first 16 digits of it; old bundles keep theirs
    TRUST-ledger.jsonl             who trusted and revoked which key, when, and until when

A key file alone is enough to be believed; the ledger can only take belief away (``standing``). A
key that was revoked, or that ended, stays in the folder: what it had signed and was admitted before
stays admitted.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.errors import FederationError, UsageError
from gdshare.signing import SITE, fingerprint, load_public_key, public_pem
from gdshare.storage import write_bytes

SHORT = 16
"""Digits of a fingerprint in a file's name."""
_NAME = re.compile(rf"(?P<site>{SITE})(\.[0-9a-f]{{{SHORT}}})?")


@dataclass(frozen=True)
class TrustedKey:
    """A key on the list.

    Attributes:
        site: the hospital it belongs to.
        key: public.
        path: where it lies.
    """

    site: str
    key: ec.EllipticCurvePublicKey
    path: Path

    @property
    def fingerprint(self) -> str:
        """Its name, 64 hex digits."""
        return fingerprint(self.key)


@dataclass(frozen=True)
class Trust:
    """The hospitals' keys, those that were revoked since included."""

    keys: tuple[TrustedKey, ...]


def load_trust(folder: Path) -> Trust:
    """Read every public key of a folder.

    Raises:
        FederationError: no such folder, no key in it, a name that is none, or one key under two
            names, with which a hospital could speak for another.
        KeyFileError: a file that is not a public key.
    """
    paths = sorted(folder.glob("*.pub")) if folder.is_dir() else []
    if not paths:
        raise FederationError(
            "holds no NAME.pub",
            folder,
            "take each hospital's public key in with gdshare trust add, under its name",
        )
    keys = tuple(TrustedKey(_site_of(path), load_public_key(path), path) for path in paths)
    owners: dict[str, Path] = {}
    for one in keys:
        other = owners.setdefault(one.fingerprint, one.path)
        if other != one.path:
            raise FederationError(
                f"{other.name} and {one.path.name} are the same key", folder, "keep one name a key"
            )
    return Trust(keys)


def place_for(folder: Path, site: str, key: ec.EllipticCurvePublicKey) -> Path:
    """Where a site's new key goes: beside those it has.

    Raises:
        UsageError: not a site's name.
        FederationError: the key is there already, under this name or another.
    """
    if re.fullmatch(SITE, site) is None:
        raise UsageError(
            "not a site's name: lower-case letters, digits and hyphens, 32 at most", f"{site!r:.60}"
        )
    there = load_trust(folder).keys if any(folder.glob("*.pub")) else ()
    for one in there:
        if one.fingerprint == fingerprint(key):
            raise FederationError("is this very key", one.path, f"it is trusted for {one.site}")
    first = folder / f"{site}.pub"
    return folder / f"{site}.{fingerprint(key)[:SHORT]}.pub" if first.exists() else first


def put_key(path: Path, key: ec.EllipticCurvePublicKey) -> None:
    """Write a key whole, in the form its fingerprint is taken of."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, public_pem(key))


def _site_of(path: Path) -> str:
    name = _NAME.fullmatch(path.stem)
    if name is None:
        raise FederationError(
            "not SITE.pub", path, "a site's name has lower-case letters, digits and hyphens"
        )
    return name["site"]
