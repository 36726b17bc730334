"""X.509 certificates of a federation: made, read and judged by date.

An authority of the aggregator's own signs the server's certificate and the hospitals'. Public ones
would let in everybody who has one.
"""

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gdshare.errors import KeyFileError
from gdshare.plain_files import read_plain
from gdshare.secret_files import ExposedError, read_secret
from gdshare.signing import fingerprint

MAX_PEM: Final = 64 * 1024
AUTHORITY_DAYS: Final = 3650
LEAF_DAYS: Final = 730
WARN_DAYS: Final = 30
BACKDATED: Final = timedelta(minutes=10)
"""Clocks differ a little, and a certificate is used at once."""


def new_tls_key() -> ec.EllipticCurvePrivateKey:
    """A key for TLS, on P-256, which every TLS library knows."""
    return ec.generate_private_key(ec.SECP256R1())


def private_pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes | None = None) -> bytes:
    """A private key, to be written with mode 600.

    Args:
        key: the key.
        passphrase: None: not encrypted, for a server that starts unattended.
    """
    lock: KeySerializationEncryption = NoEncryption()
    if passphrase is not None:
        lock = BestAvailableEncryption(passphrase)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """One certificate."""
    return certificate.public_bytes(Encoding.PEM)


def certificate_request(site: str, key: ec.EllipticCurvePrivateKey) -> bytes:
    """PEM of a request for a certificate in a hospital's name, signed with its key."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(site))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


@dataclass(frozen=True)
class Authority:
    """Who signs a federation's certificates."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def new(cls, name: str, now: datetime, days: int = AUTHORITY_DAYS) -> "Authority":
        """An authority that signs for ten years; it may sign no other authority."""
        key = new_tls_key()
        usage = _usage(key_cert_sign=True, crl_sign=True)
        certificate = (
            _builder(_name(name), _name(name), key.public_key(), now, days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    def server(
        self, host: str, key: ec.EllipticCurvePublicKey, now: datetime, days: int = LEAF_DAYS
    ) -> x509.Certificate:
        """A certificate of the SuperLink's machine: by its name, and on its own loopback."""
        loopback = ipaddress.ip_address("127.0.0.1")
        names: list[x509.GeneralName] = [_general_name(host), x509.IPAddress(loopback)]
        names = list(dict.fromkeys(names))
        builder = self._leaf(host, key, now, days, ExtendedKeyUsageOID.SERVER_AUTH)
        alternative = x509.SubjectAlternativeName(names)
        return builder.add_extension(alternative, critical=False).sign(self.key, hashes.SHA256())

    def client(
        self, site: str, key: ec.EllipticCurvePublicKey, now: datetime, days: int = LEAF_DAYS
    ) -> x509.Certificate:
        """A certificate with which a hospital's node passes the proxy."""
        builder = self._leaf(site, key, now, days, ExtendedKeyUsageOID.CLIENT_AUTH)
        return builder.sign(self.key, hashes.SHA256())

    def _leaf(
        self,
        name: str,
        key: ec.EllipticCurvePublicKey,
        now: datetime,
        days: int,
        use: x509.ObjectIdentifier,
    ) -> x509.CertificateBuilder:
        issuer = self.certificate.subject
        return (
            _builder(_name(name), issuer, key, now, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(
    digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def read_certificates(path: Path) -> list[x509.Certificate]:
    """The certificates of a PEM file, at least one.

    Raises:
        KeyFileError: not readable, or none in it.
    """
    try:
        return x509.load_pem_x509_certificates(read_plain(path, MAX_PEM))
    except OSError as error:
        raise KeyFileError(f"cannot be read ({error.strerror})", path, "check the path") from error
    except ValueError as error:
        raise KeyFileError("not a PEM file of certificates", path, "check the file") from error


def read_tls_key(path: Path, passphrase: bytes | None = None) -> ec.EllipticCurvePrivateKey:
    """A private key that nobody but its owner may read.

    Raises:
        KeyFileError: not readable, readable by others, or another passphrase's.
    """
    try:
        key = load_pem_private_key(read_secret(path, MAX_PEM), passphrase)
    except ExposedError as error:
        raise KeyFileError(error.what, path, error.remedy) from error
    except OSError as error:
        raise KeyFileError(f"cannot be read ({error.strerror})", path, "check the path") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(
            "not a private key, or not its passphrase", path, "check both"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyFileError("not an elliptic-curve key", path, "use the key that init made")
    return key


def is_signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether an authority signed a certificate; dates are not looked at."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def subject_of(certificate: x509.Certificate | x509.CertificateSigningRequest) -> str:
    """The common name; empty without one."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def certificate_fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate's public key, 64 hex digits: the same after a renewal."""
    key = certificate.public_key()
    return fingerprint(key) if isinstance(key, ec.EllipticCurvePublicKey) else ""
