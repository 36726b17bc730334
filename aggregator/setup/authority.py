"""What the authority of a federation signs: hospitals' certificates, and the server's anew."""

from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from aggregator.setup.place import CA, CA_KEY, SERVER, SITES, FederationPlace
from aggregator.setup.revocations import keep_issued, require_not_revoked
from gdshare.deploy.certificates import (
    Authority,
    certificate_pem,
    is_signed_by,
    read_certificates,
    read_tls_key,
)
from gdshare.deploy.node_request import NodeRequest
from gdshare.errors import KeyFileError, UsageError
from gdshare.storage import write_bytes


def read_authority(folder: Path, passphrase: bytes) -> Authority:
    """The authority of a set-up.

    Raises:
        KeyFileError: its key is elsewhere, of another passphrase, or another's.
    """
    key = read_tls_key(folder / CA_KEY, passphrase)
    certificate = read_certificates(folder / CA)[0]
    if not is_signed_by(certificate, certificate) or certificate.public_key() != key.public_key():
        raise KeyFileError("is not the key of ca.pem", folder / CA_KEY, "put the right one there")
    return Authority(certificate, key)


def sign_request(
    place: FederationPlace, authority: Authority, request: NodeRequest, site: str, now: datetime
) -> Path:
    """Write the hospital's certificate, and below it the authority's; returns the file.

    Raises:
        UsageError: a bare key, which asks for no certificate; or a key that was revoked.
    """
    if request.tls_key is None:
        raise UsageError("asks for no certificate", site, "sign the file of gdshare node init")
    require_not_revoked(place, authority, request.tls_key)
    certificate = authority.client(site, request.tls_key, now)
    path = place.folder / SITES / f"{site}.pem"
    if path.exists():  # of a folder in which certificates were not kept by number
        keep_issued(place.folder, read_certificates(path)[0])
    keep_issued(place.folder, certificate)
    write_bytes(path, certificate_pem(certificate) + certificate_pem(authority.certificate))
    return path


def renew_server(place: FederationPlace, authority: Authority, now: datetime) -> x509.Certificate:
    """Write a new certificate for the server's key, which stays.

    Raises:
        KeyFileError: the old certificate cannot be read.
    """
    old = read_certificates(place.folder / SERVER)[0]
    key = old.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise KeyFileError("is of another kind of key", place.folder / SERVER, "run init anew")
    renewed = authority.server(place.host, key, now)
    write_bytes(place.folder / SERVER, certificate_pem(renewed))
    return renewed
