"""What a hospital sends once so that its node is let in: one file, one fingerprint.

The file holds the public half of the node's key, in OpenSSH's form, which the SuperLink registers,
and below it a PEM request for a certificate, with which the node passes the aggregator's proxy::

    request = parse_node_request(content, path)
    require_match(request.fingerprint, typed, "--fingerprint", "call the hospital")
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_public_key,
)

from gdshare.deploy.certificates import certificate_request, subject_of
from gdshare.errors import KeyFileError
from gdshare.plain_files import read_plain
from gdshare.signing import SITE

SUFFIX: Final = ".node-request"
MAX_BYTES: Final = 16 * 1024
_REMEDY: Final = "ask the hospital for the file that gdshare node init made"


@dataclass(frozen=True)
class NodeRequest:
    """A hospital's node, as it asks to be let in.

    Attributes:
        site: the hospital's short name; None in a bare key, which gives none.
        node_key: what the SuperLink registers, ECDSA on P-384.
        tls_key: of the certificate that is asked for; None in a bare key.
    """

    site: str | None
    node_key: ec.EllipticCurvePublicKey
    tls_key: ec.EllipticCurvePublicKey | None

    @property
    def fingerprint(self) -> str:
        """SHA-256 over both keys (DER, the node's first), 64 hex digits."""
        digest = hashlib.sha256(_der(self.node_key))
        if self.tls_key is not None:
            digest.update(_der(self.tls_key))
        return digest.hexdigest()

    @property
    def node_fingerprint(self) -> str:
        """SHA-256 of the node's key alone (DER)."""
        return hashlib.sha256(_der(self.node_key)).hexdigest()

    @property
    def openssh(self) -> bytes:
        """The node's key as the SuperLink takes it."""
        return openssh_public(self.node_key)


def new_node_key() -> ec.EllipticCurvePrivateKey:
    """A key for the node, on P-384, as Flower's SuperLink takes it."""
    return ec.generate_private_key(ec.SECP384R1())


def openssh_private(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A node's key as ``ssh-keygen`` writes it; write it with mode 600."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def openssh_public(key: ec.EllipticCurvePublicKey) -> bytes:
    """One line, without a comment."""
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)


def node_request(
    site: str, node_key: ec.EllipticCurvePrivateKey, tls_key: ec.EllipticCurvePrivateKey
) -> bytes:
    """The file that a hospital sends."""
    line = openssh_public(node_key.public_key()) + b" " + site.encode() + b"\n"
    return line + certificate_request(site, tls_key)


def read_node_request(path: Path) -> NodeRequest:
    """Read a request, or a bare public key of a node.

    Raises:
        KeyFileError: not readable, neither of both, or not signed with its own key.
    """
    try:
        return parse_node_request(read_plain(path, MAX_BYTES), path)
    except OSError as error:
        raise KeyFileError(f"cannot be read ({error.strerror})", path, "check the path") from error


def parse_node_request(content: bytes, where: object) -> NodeRequest:
    """The same from bytes, which a stranger may have written.

    Raises:
        KeyFileError: as ``read_node_request``.
    """
    lines = content.splitlines()
    node_key = _node_key(lines[0] if lines else b"", where)
    rest = b"\n".join(lines[1:]).strip()
    if not rest:
        return NodeRequest(None, node_key, None)
    try:
        request = x509.load_pem_x509_csr(rest + b"\n")
        sound, key = request.is_signature_valid, request.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError("is no request of a node", where, _REMEDY) from error
    if not sound or not isinstance(key, ec.EllipticCurvePublicKey):
        raise KeyFileError("is not signed with its own key", where, _REMEDY)
    site = subject_of(request)
    if not re.fullmatch(SITE, site):
        raise KeyFileError(f"is in the name {site!r:.60}, no short name", where, _REMEDY)
    return NodeRequest(site, node_key, key)


def _node_key(line: bytes, where: object) -> ec.EllipticCurvePublicKey:
    try:
        key = load_ssh_public_key(line)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError("begins with no public key of a node", where, _REMEDY) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp384r1":
        raise KeyFileError("holds another key than ECDSA on P-384", where, _REMEDY)
    return key


def _der(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
