"""Whose bundles are believed: a folder of public keys, each filed under its hospital's name."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.bundle import fingerprint, load_public_key
from gdshare.errors import FederationError


@dataclass(frozen=True)
class Trust:
    """The hospitals' keys.

    Attributes:
        keys: site name -> its public key.
    """

    keys: Mapping[str, ec.EllipticCurvePublicKey]


def load_trust(folder: Path) -> Trust:
    """Read every ``NAME.pub`` of a folder.

    Raises:
        FederationError: no such folder, no key in it, or one key under two names, with which a
            hospital could speak for another.
        KeyFileError: a file that is not a public key.
    """
    paths = sorted(folder.glob("*.pub")) if folder.is_dir() else []
    if not paths:
        raise FederationError(
            f"{folder}: holds no NAME.pub; put each hospital's public key there, under its name"
        )
    keys = {path.stem: load_public_key(path) for path in paths}
    owners: dict[str, str] = {}
    for name, key in keys.items():
        other = owners.setdefault(fingerprint(key), name)
        if other != name:
            raise FederationError(
                f"{folder}: {other}.pub and {name}.pub are the same key; keep one name a key"
            )
    return Trust(keys)
