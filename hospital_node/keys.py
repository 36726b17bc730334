"""The private keys of a node: its own, and that of its certificate."""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from gdshare.errors import KeyFileError
from gdshare.secret_files import ExposedError, read_secret

MAX_KEY_BYTES = 16 * 1024


def read_own_key(path: Path) -> bytes:
    """The content of a key that nobody else may read.

    Raises:
        KeyFileError: it cannot be read, or others may read it.
    """
    try:
        return read_secret(path, MAX_KEY_BYTES)
    except ExposedError as error:
        raise KeyFileError(error.what, path, error.remedy) from error
    except OSError as error:
        raise KeyFileError(f"cannot be read ({error.strerror})", path, "check the path") from error


def read_node_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read the node's key.

    Raises:
        KeyFileError: not a key of the kind that nodes have, or others may read it.
    """
    content = read_own_key(path)
    try:
        key = load_ssh_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(
            "not a node key, or one with a passphrase", path, "ssh-keygen -t ecdsa -b 384 -N ''"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyFileError("not an elliptic-curve key", path, "ssh-keygen -t ecdsa -b 384 -N ''")
    return key
