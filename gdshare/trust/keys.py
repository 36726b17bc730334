"""The trust list: a folder of the hospitals' public keys, and a ledger beside it.

::

    TRUST/SITE.pub                 a hospital's key
    TRUST/SITE.FINGERPRINT.pub     a further key (16 digits of the fingerprint); old bundles keep
                                   theirs
    TRUST-ledger.jsonl             who trusted and revoked which key, when, and until when

A key file alone is enough to be trusted; the ledger can only take trust away (``key_history``). A
key that was revoked, or that ended, stays in the folder: what was admitted of it before stays
admitted.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.errors import TrustError, UsageError
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
        path: of its file.
    """

    site: str
    key: ec.EllipticCurvePublicKey
    path: Path

    @cached_property
    def fingerprint(self) -> str:
        """64 hex digits."""
        return fingerprint(self.key)


@dataclass(frozen=True)
class Trust:
    """The hospitals' keys, revoked ones included."""

    keys: tuple[TrustedKey, ...]

    def find(self, digest: str) -> TrustedKey | None:
        """The key of this fingerprint, if it is on the list."""
        return self._by_fingerprint.get(digest)

    @cached_property
    def _by_fingerprint(self) -> Mapping[str, TrustedKey]:
        """A round of a thousand bundles looks up a thousand keys, twice."""
        return {key.fingerprint: key for key in self.keys}


def ledger_beside(trust: Path) -> Path:
    """The ledger's path: ``TRUST-ledger.jsonl``, beside the folder of keys."""
    real = trust.resolve()
    return real.with_name(f"{real.name}-ledger.jsonl")


def load_trust(folder: Path) -> Trust:
    """Read every public key of a folder.

    Raises:
        TrustError: no such folder, no key in it, a file not named after a site, or one key
            under two names, with which a hospital could speak for another.
        KeyFileError: a file that is not a public key.
    """
    trust = read_trust(folder)
    if not trust.keys:
        raise TrustError(
            "holds no NAME.pub",
            folder,
            "add each hospital's public key with gdshare trust add, under its name",
        )
    return trust


def read_trust(folder: Path) -> Trust:
    """As ``load_trust``, but a folder without keys, or none at all, is an empty list."""
    paths = sorted(folder.glob("*.pub")) if folder.is_dir() else []
    trust = Trust(tuple(TrustedKey(_site_of(path), load_public_key(path), path) for path in paths))
    owners: dict[str, Path] = {}
    for key in trust.keys:
        other = owners.setdefault(key.fingerprint, key.path)
        if other != key.path:
            raise TrustError(
                f"{other.name} and {key.path.name} are the same key", folder, "keep one name a key"
            )
    return trust


def path_for(folder: Path, site: str, key: ec.EllipticCurvePublicKey) -> Path:
    """Where a site's new key goes: beside those it has.

    Raises:
        UsageError: not a site's name.
        TrustError: the key is on the list already, under this name or another.
    """
    if re.fullmatch(SITE, site) is None:
        raise UsageError(
            "not a site's name: lower-case letters, digits and hyphens, 32 at most", f"{site!r:.60}"
        )
    same = read_trust(folder).find(fingerprint(key))
    if same is not None:
        raise TrustError("is this very key", same.path, f"it is trusted for {same.site}")
    first = folder / f"{site}.pub"
    return folder / f"{site}.{fingerprint(key)[:SHORT]}.pub" if first.exists() else first


def write_key(path: Path, key: ec.EllipticCurvePublicKey) -> None:
    """Write a key, whole or not at all, as the PEM that its fingerprint is the digest of."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, public_pem(key))


def _site_of(path: Path) -> str:
    name = _NAME.fullmatch(path.stem)
    if name is None:
        raise TrustError(
            "not SITE.pub", path, "a site's name has lower-case letters, digits and hyphens"
        )
    return name["site"]
