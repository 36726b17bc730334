"""The folder of a hospital's node: its two keys, the request, its settings and its unit."""

from dataclasses import dataclass
from pathlib import Path

from gdshare.deploy.certificates import (
    certificate_fingerprint,
    certificate_pem,
    is_signed_by,
    new_tls_key,
    private_pem,
    read_certificates,
    read_tls_key,
    subject_of,
)
from gdshare.deploy.node_request import (
    SUFFIX,
    NodeRequest,
    new_node_key,
    node_request,
    openssh_private,
    openssh_public,
    parse_node_request,
)
from gdshare.deploy.place import new_place
from gdshare.errors import KeyFileError
from gdshare.storage import write_bytes
from hospital_node.setup.place import CA, NODE_KEY, TLS_KEY, NodePlace


@dataclass(frozen=True)
class Reply:
    """What the aggregator sent back.

    Attributes:
        site: whose the certificate is.
        fingerprint: SHA-256 of the authority's key, to be compared by phone.
        certificate, authority: PEM.
    """

    site: str
    fingerprint: str
    certificate: bytes
    authority: bytes


def write_node(place: NodePlace) -> NodeRequest:
    """Make the folder, whole or not at all; returns the request that lies in it.

    Raises:
        UsageError: there is something in the folder.
    """
    node_key, tls_key = new_node_key(), new_tls_key()
    request = node_request(place.site, node_key, tls_key)
    public = openssh_public(node_key.public_key()) + f" {place.site}\n".encode()
    with new_place(place.folder) as folder:
        for name, text in place.texts().items():
            write_bytes(folder / name, text.encode())
        write_bytes(folder / NODE_KEY, openssh_private(node_key), 0o600)
        write_bytes(folder / f"{NODE_KEY}.pub", public)
        write_bytes(folder / TLS_KEY, private_pem(tls_key), 0o600)
        write_bytes(folder / f"{place.site}{SUFFIX}", request)
    return parse_node_request(request, place.site)


def read_reply(path: Path, folder: Path) -> Reply:
    """Read what the aggregator sent, and check that it is for this node.

    Raises:
        KeyFileError: not a certificate and its authority's, or for another key.
    """
    certificates = read_certificates(path)
    if len(certificates) != 2 or not is_signed_by(certificates[0], certificates[1]):
        raise KeyFileError(
            "is not a certificate and its authority's",
            path,
            "ask the aggregator for the file again",
        )
    certificate, authority = certificates
    if certificate.public_key() != read_tls_key(folder / TLS_KEY).public_key():
        raise KeyFileError(
            f"is for another key than {folder / TLS_KEY}", path, "have the newest request signed"
        )
    return Reply(
        subject_of(certificate),
        certificate_fingerprint(authority),
        certificate_pem(certificate),
        certificate_pem(authority),
    )


def write_reply(reply: Reply, folder: Path) -> tuple[Path, Path]:
    """Put the certificate and the authority's where the unit looks for them; returns both files."""
    own, authority = folder / f"{reply.site}.pem", folder / CA
    write_bytes(authority, reply.authority)
    write_bytes(own, reply.certificate)
    return own, authority
