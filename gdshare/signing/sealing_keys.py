"""Sealing keys (X25519) in PEM files, beside the signing keys and never in their place.

What is sealed to ``NAME.seal.pub`` opens with ``NAME.seal.key`` only. A signing key proves who made
a file, a sealing key keeps it secret; each is refused where the other is needed.
"""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from gdshare.errors import KeyFileError
from gdshare.signing.keys import parse_public_pem, read_key_file, unlock, write_pair

SUFFIX = ".seal"


def new_sealing_key() -> X25519PrivateKey:
    """Draw a sealing key from the operating system's randomness."""
    return X25519PrivateKey.generate()


def write_sealing_pair(folder: Path, name: str, passphrase: bytes) -> tuple[Path, Path]:
    """Make a sealing key and store it as ``NAME.seal.key`` (mode 600) and ``NAME.seal.pub``.

    Args:
        folder: made if missing, then readable by its owner only.
        name: the owner's short name.
        passphrase: encrypts the private key; 1 to 1000 bytes.

    Returns:
        The paths of the private and the public key.

    Raises:
        KeyFileError: as ``write_key_pair``.
    """
    return write_pair(folder, name, SUFFIX, new_sealing_key(), passphrase)


def load_sealing_key(path: Path, passphrase: bytes) -> X25519PrivateKey:
    """Unlock the key that opens what was sealed to it.

    Raises:
        KeyFileError: unreadable, readable by others than its owner, not encrypted, a signing key,
            or another passphrase.
    """
    key = unlock(path, passphrase)
    if not isinstance(key, X25519PrivateKey):
        raise KeyFileError(
            f"{path} is no sealing key, and opens nothing",
            remedy="give the NAME.seal.key that `gdshare keys new --sealing` made",
        )
    return key


def load_sealing_public_key(path: Path) -> X25519PublicKey:
    """Read the key to seal to.

    Raises:
        KeyFileError: unreadable, or no public sealing key.
    """
    key = parse_public_pem(read_key_file(path), str(path))
    if not isinstance(key, X25519PublicKey):
        raise KeyFileError(
            f"{path} is no public sealing key, so nothing can be sealed to it",
            remedy="ask the aggregator for its NAME.seal.pub",
        )
    return key
