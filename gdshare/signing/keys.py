"""Signing keys (ECDSA, P-256) in PEM files, and what all key files have in common.

The private key is encrypted under a passphrase, in a file only its owner may read; the public key
goes to the aggregator. A key is identified by its fingerprint, the SHA-256 of its public PEM.
"""

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from gdshare.errors import KeyFileError
from gdshare.open_flags import BINARY, NO_FOLLOW
from gdshare.plain_files import NotPlainError, TooLargeError, read_plain
from gdshare.secret_files import ExposedError, read_secret
from gdshare.signing.errors import quoted
from gdshare.signing.names import SITE
from gdshare.storage import sync_folder

LARGEST_KEY_FILE = 16 * 1024
LONGEST_PASSPHRASE = 1000
NOT_A_PUBLIC_KEY = "is not a PEM public key on the curve P-256; use the .pub file of `gdshare keys`"


AnyPublicKey = ec.EllipticCurvePublicKey | X25519PublicKey
"""The public half of a signing key or of a sealing key (``sealing_keys``)."""


def new_key() -> ec.EllipticCurvePrivateKey:
    """Draw a signing key from the operating system's randomness."""
    return ec.generate_private_key(ec.SECP256R1())


def public_pem(key: AnyPublicKey) -> bytes:
    """Write a public key as PEM (SubjectPublicKeyInfo), which its fingerprint is computed from."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: AnyPublicKey) -> str:
    """Identify a key: the SHA-256 of its public PEM, 64 lower-case hex digits."""
    return hashlib.sha256(public_pem(key)).hexdigest()


def write_key_pair(folder: Path, name: str, passphrase: bytes) -> tuple[Path, Path]:
    """Make a signing key and store it as ``NAME.key`` (mode 600) and ``NAME.pub``.

    Args:
        folder: made if missing, then readable by its owner only.
        name: the site's short name.
        passphrase: encrypts the private key; 1 to 1000 bytes.

    Returns:
        The paths of the private and the public key.

    Raises:
        KeyFileError: a bad name or passphrase, a key of that name already there, or no way to
            write.
    """
    return write_pair(folder, name, "", new_key(), passphrase)


def write_pair(
    folder: Path,
    name: str,
    suffix: str,
    key: ec.EllipticCurvePrivateKey | X25519PrivateKey,
    passphrase: bytes,
) -> tuple[Path, Path]:
    """Store a key of either kind, as ``write_key_pair`` does; ``suffix`` follows the name."""
    if not re.fullmatch(SITE, name):
        raise KeyFileError(
            f"the name {quoted(name)} cannot name a key",
            remedy="use lower-case letters, digits and hyphens, 32 characters at most",
        )
    _check_passphrase(passphrase)
    private, public = folder / f"{name}{suffix}.key", folder / f"{name}{suffix}.pub"
    encrypted = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase)
    )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_new(private, encrypted, 0o600)
        try:
            _write_new(public, public_pem(key.public_key()), 0o666)
        except BaseException:
            private.unlink()
            raise
        sync_folder(folder)
    except OSError as fault:
        raise _unwritten(folder, fault) from None
    return private, public


def _check_passphrase(passphrase: bytes) -> None:
    if not 0 < len(passphrase) <= LONGEST_PASSPHRASE:
        raise KeyFileError(
            f"the passphrase has {len(passphrase)} bytes",
            remedy=(
                f"give one of 1 to {LONGEST_PASSPHRASE}, since a key without one signs for "
                "whoever copies the file"
            ),
        )


def write_new(path: Path, content: bytes) -> None:
    """Write a file that does not exist yet.

    Raises:
        KeyFileError: the file exists, or cannot be written.
    """
    try:
        _write_new(path, content, 0o666)
        sync_folder(path.parent)
    except OSError as fault:
        raise _unwritten(path, fault) from None


def require_absent(path: Path) -> None:
    """Refuse a path that ``write_new`` would refuse.

    Raises:
        KeyFileError: the file exists.
    """
    if os.path.lexists(path):
        raise KeyFileError(
            f"{path} already exists and is never overwritten",
            remedy="choose another name or folder",
        )


def _unwritten(path: Path, fault: OSError) -> KeyFileError:
    if isinstance(fault, FileExistsError):
        return KeyFileError(
            f"{fault.filename} already exists and is never overwritten",
            remedy="choose another name or folder",
        )
    return KeyFileError(
        f"{path} cannot be written ({fault.strerror})", remedy="choose a folder you can write to"
    )


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Create ``path``, which must not exist, and flush it to the disk; ``mode`` less the umask."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW | BINARY, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        with suppress(FileNotFoundError):
            path.unlink()
        raise


def read_key_file(path: Path) -> bytes:
    """Read a small file from a stranger: a public key, or a statement about one.

    Raises:
        KeyFileError: unreadable, not a plain file, or too large for either.
    """
    try:
        return read_plain(path, LARGEST_KEY_FILE)
    except OSError as fault:
        raise _unread(path, fault) from None


def _unread(path: Path, fault: OSError) -> KeyFileError:
    match fault:
        case NotPlainError():
            return KeyFileError("is not a plain file", path, "name the key file itself")
        case TooLargeError():
            return KeyFileError("is too large to be a key", path, "name the key file itself")
        case ExposedError():
            return KeyFileError(
                fault.what,
                path,
                "run `chmod 600` on it, and make a new key if somebody may have copied it",
            )
    return KeyFileError(
        f"cannot be read ({fault.strerror})",
        path,
        "give the path of a key file made by `gdshare keys new`",
    )


def load_private_key(path: Path, passphrase: bytes) -> ec.EllipticCurvePrivateKey:
    """Unlock a signing key.

    Raises:
        KeyFileError: unreadable, readable by others than its owner, not encrypted, another kind
            of key, or another passphrase.
    """
    key = unlock(path, passphrase)
    if isinstance(key, X25519PrivateKey):
        raise KeyFileError(
            f"{path} is a sealing key, which opens what was sealed and signs nothing",
            remedy="give the signer's NAME.key",
        )
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not _is_p256(key.curve):
        raise KeyFileError(
            f"{path} is another kind of key", remedy="make one with `gdshare keys new`"
        )
    return key


def unlock(path: Path, passphrase: bytes) -> PrivateKeyTypes:
    """Unlock a private key of either kind.

    Raises:
        KeyFileError: as ``load_private_key``, except for the kind.
    """
    _check_passphrase(passphrase)
    if read_key_file(path).startswith(b"-----BEGIN PUBLIC KEY-----"):
        raise KeyFileError("is the public half of a key", path, "give its NAME.key")
    try:
        content = read_secret(path, LARGEST_KEY_FILE)
    except OSError as fault:
        raise _unread(path, fault) from None
    try:
        return load_pem_private_key(content, passphrase)
    except TypeError:
        raise KeyFileError(
            f"{path} is not encrypted", remedy="make a key with `gdshare keys new`, which always is"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFileError(
            f"{path} does not open with this passphrase, or is not a private key",
            remedy="try the passphrase again, and check that this is the .key file",
        ) from None


def _is_p256(curve: ec.EllipticCurve) -> bool:
    return curve.name == ec.SECP256R1.name


def parse_public_key(content: bytes, where: str) -> ec.EllipticCurvePublicKey:
    """Read a public key from PEM text.

    Args:
        content: PEM of a SubjectPublicKeyInfo.
        where: what to call the source in a message.

    Raises:
        KeyFileError: not a P-256 public key.
    """
    key = parse_public_pem(content, where)
    if isinstance(key, X25519PublicKey):
        raise KeyFileError(
            f"{where} is a public sealing key, with which no signature can be checked",
            remedy="use the signer's NAME.pub",
        )
    return key


def parse_public_pem(content: bytes, where: str) -> AnyPublicKey:
    """Read a public key of either kind from PEM text.

    Raises:
        KeyFileError: neither of the two.
    """
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFileError(f"{where} {NOT_A_PUBLIC_KEY}") from None
    if isinstance(key, X25519PublicKey):
        return key
    if not isinstance(key, ec.EllipticCurvePublicKey) or not _is_p256(key.curve):
        raise KeyFileError(f"{where} {NOT_A_PUBLIC_KEY}")
    return key


def load_public_key(path: Path) -> ec.EllipticCurvePublicKey:
    """Read a site's public key.

    Raises:
        KeyFileError: unreadable, or not a P-256 public key.
    """
    return parse_public_key(read_key_file(path), str(path))
