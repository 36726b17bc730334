"""Where the SuperLink is and who this node is, as the command line says, checked at once."""

import argparse
import re
import ssl
from pathlib import Path

from gdshare.deploy.address import parse_address
from gdshare.errors import UsageError
from hospital_node.keys import read_node_key, read_own_key
from hospital_node.superlink import Address

LOOPBACK = re.compile(r"localhost|127(\.[0-9]{1,3}){3}|::1")


def address_of(options: argparse.Namespace) -> Address:
    """Read the node's key and the certificates that the options name.

    Raises:
        UsageError: an address or a certificate that cannot be used, or options that contradict.
        KeyFileError: a key that cannot be used.
    """
    host, _ = parse_address(options.superlink, "--superlink")
    key = options.auth_supernode_private_key
    of_tls = (key, options.root_certificates, options.client_certificate, options.client_key)
    if options.insecure and any(path is not None for path in of_tls):
        raise UsageError(
            "--insecure takes neither certificates nor a key", remedy="leave --insecure out"
        )
    if options.insecure and not LOOPBACK.fullmatch(host):
        raise UsageError(
            f"--insecure is for this machine alone, and {host} is another",
            remedy="use TLS, as docs/guide-node.md says",
        )
    return Address(
        options.superlink,
        None if options.insecure else _tls(options),
        None if key is None else read_node_key(key),
    )


def _tls(options: argparse.Namespace) -> ssl.SSLContext:
    context = _trusting(options.root_certificates)
    certificate, key = options.client_certificate, options.client_key
    if (certificate is None) != (key is None):
        raise UsageError("--client-certificate and --client-key go together", remedy="give both")
    if certificate is not None:
        read_own_key(key)
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
