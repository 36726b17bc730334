"""Where the SuperLink is and who this node is, as the command line says, checked at once."""

import argparse
import re
import ssl
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from gdshare.errors import KeyFileError, UsageError
from gdshare.secret_files import ExposedError, read_secret
from hospital_node.superlink import Address

HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
LOOPBACK = re.compile(r"localhost|127(\.[0-9]{1,3}){3}|\[::1\]")
MAX_KEY_BYTES = 16 * 1024


def address_of(options: argparse.Namespace) -> Address:
    """Read the node's key and the certificates that the options name.

    Raises:
        UsageError: an address or a certificate that cannot be used, or options that contradict.
        KeyFileError: a key that cannot be used.
    """
    host = _host(options.superlink)
    key = options.auth_supernode_private_key
    of_tls = (key, options.root_certificates, options.client_certificate, options.client_key)
    if options.insecure and any(path is not None for path in of_tls):
        raise UsageError(
            "--insecure takes neither certificates nor a key", remedy="leave --insecure out"
        )
    if options.insecure and not LOOPBACK.fullmatch(host):
        raise UsageError(
            f"--insecure is for this machine alone, and {host} is another",
            remedy="use TLS, as docs/guide-aggregator.md says",
        )
    return Address(
        options.superlink,
        None if options.insecure else _tls(options),
        None if key is None else _node_key(key),
        options.max_wait_time,
    )


def _host(text: str) -> str:
    match = HOST_AND_PORT.fullmatch(text)
    if not match or not 1 <= int(match[2]) <= 65_535:
        raise UsageError(
            f"{text!r:.80} is no address", "--superlink", "write HOST:PORT, without https://"
        )
    return match[1]


def _tls(options: argparse.Namespace) -> ssl.SSLContext:
    context = _trusting(options.root_certificates)
    certificate, key = options.client_certificate, options.client_key
    if (certificate is None) != (key is None):
        raise UsageError("--client-certificate and --client-key go together", remedy="give both")
    if certificate is not None:
        _require_own(key)
        try:
            context.load_cert_chain(certificate, key, password="")
        except ssl.SSLError as error:
            raise UsageError(
                "no certificate with its key", f"{certificate}, {key}", "check both, in PEM"
            ) from error
        except OSError as error:
            raise UsageError(
                f"cannot be read ({error.strerror})", certificate, "check --client-certificate"
            ) from error
    return context


def _trusting(authority: Path | None) -> ssl.SSLContext:
    if authority is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=authority)
    except ssl.SSLError as error:
        raise UsageError(
            "not a PEM file of certificates", authority, "give the aggregator's authority"
        ) from error
    except OSError as error:
        raise UsageError(
            f"cannot be read ({error.strerror})", authority, "check --root-certificates"
        ) from error


def _require_own(path: Path) -> bytes:
    """The content of a key that nobody else may read."""
    try:
        return read_secret(path, MAX_KEY_BYTES)
    except ExposedError as error:
        raise KeyFileError(error.what, path, error.remedy) from error
    except OSError as error:
        raise KeyFileError(f"cannot be read ({error.strerror})", path, "check the path") from error


def _node_key(path: Path) -> ec.EllipticCurvePrivateKey:
    content = _require_own(path)
    try:
        key = load_ssh_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(
            "not a node key, or one with a passphrase", path, "ssh-keygen -t ecdsa -b 384 -N ''"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyFileError("not an elliptic-curve key", path, "ssh-keygen -t ecdsa -b 384 -N ''")
    return key
