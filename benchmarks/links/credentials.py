"""The certificates and keys that the aggregator's guide has people make, made in a folder.

``ca.pem``, ``revoked.pem``, ``server.pem`` and ``server.key``; for each hospital ``SITE.pem`` and
``SITE.tls.key`` (the client certificate that nginx wants) and ``SITE.node`` and ``SITE.node.pub``
(the node key).
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from aggregator.setup.revocations import NOBODY
from gdshare.deploy.certificates import Authority

AGGREGATOR = "aggregator.example"
DAYS = 30


def write_credentials(folder: Path, sites: Sequence[str], addresses: Sequence[str]) -> None:
    """Make an authority, and what it signs.

    Args:
        folder: made if missing.
        sites: the hospitals' short names.
        addresses: IP addresses at which the aggregator is reached.
    """
    folder.mkdir(parents=True, exist_ok=True)
    authority = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tokyo authority")])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    root = _certificate(issuer, issuer, authority.public_key())
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    root = root.add_extension(usage, critical=True)
    certificate = root.sign(authority, SHA256())
    (folder / "ca.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    revoked = NOBODY.signed(Authority(certificate, authority), datetime.now(UTC))
    (folder / "revoked.pem").write_bytes(revoked)

    def issue(name: str, certificate: Path, key_file: Path, others: list[x509.GeneralName]) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        leaf = _certificate(subject, issuer, key.public_key())
        leaf = leaf.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        if others:
            leaf = leaf.add_extension(x509.SubjectAlternativeName(others), critical=False)
        certificate.write_bytes(leaf.sign(authority, SHA256()).public_bytes(Encoding.PEM))
        _write_private(key_file, key, PrivateFormat.PKCS8)

    names: list[x509.GeneralName] = [x509.DNSName(AGGREGATOR)]
    names += [x509.IPAddress(ip_address(address)) for address in addresses]
    issue(AGGREGATOR, folder / "server.pem", folder / "server.key", names)
    for site in sites:
        issue(site, folder / f"{site}.pem", folder / f"{site}.tls.key", [])
        node = ec.generate_private_key(ec.SECP384R1())
        _write_private(folder / f"{site}.node", node, PrivateFormat.OpenSSH)
        public = node.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        (folder / f"{site}.node.pub").write_bytes(public + b"\n")


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=DAYS))
    )


def _write_private(path: Path, key: ec.EllipticCurvePrivateKey, form: PrivateFormat) -> None:
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, form, NoEncryption()))
