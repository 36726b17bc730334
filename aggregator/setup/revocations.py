"""``revoked.pem``: certificates of hospitals that nginx refuses, though the authority signed them.

The list is signed by the authority and lasts as long as a server's certificate, since past its end
nginx refuses everybody: it is made with that certificate, and renewed with it. A longer life costs
nothing that a shorter one would give, since nobody fetches the list from elsewhere.

Certificates are revoked by number. A hospital may have several of one key, as after a renewal, so
each that is signed is kept in ``issued/``::

    revoked = revoke(place, authority, "st-mary", now)
"""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from aggregator.setup.place import ISSUED, REVOKED, SITES, FederationPlace
from gdshare.deploy.certificates import (
    BACKDATED,
    LEAF_DAYS,
    Authority,
    certificate_pem,
    is_signed_by,
    read_certificates,
    subject_of,
)
from gdshare.errors import KeyFileError, UsageError
from gdshare.lock import lock, lock_beside
from gdshare.plain_files import MAX_RECORD, read_plain
from gdshare.signing import SITE
from gdshare.storage import write_bytes

LIST_DAYS: Final = LEAF_DAYS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Revocations:
    """Who is on a list.

    Attributes:
        serials: a certificate's number -> when it was revoked.
        number: of the list, 0 before the first; each has a higher one than the list before it.
    """

    serials: Mapping[int, datetime]
    number: int

    def signed(self, authority: Authority, now: datetime) -> bytes:
        """PEM of the next list of these certificates, good for two years."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(authority.certificate.subject)
            .last_update(now - BACKDATED)
            .next_update(now + timedelta(days=LIST_DAYS))
            .add_extension(x509.CRLNumber(self.number + 1), critical=False)
        )
        for serial, since in self.serials.items():
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.PEM)


@dataclass(frozen=True)
class SignedRevocations(Revocations):
    """A list as it was read.

    Attributes:
        end: after it nginx refuses everybody.
    """

    end: datetime


NOBODY: Final = Revocations({}, 0)


def read_revocations(path: Path, authority: x509.Certificate) -> SignedRevocations:
    """Read a list.

    Raises:
        FileNotFoundError: there is none.
        KeyFileError: not a list, or not one that the authority signed.
    """
    remedy = "put its last copy back: a new list would forget who is revoked"
    try:
        read = x509.load_pem_x509_crl(read_plain(path, MAX_RECORD))
        signed = read.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
        number = read.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        end = read.next_update_utc
    except FileNotFoundError:
        raise
    except OSError as error:
        raise KeyFileError(f"cannot be read ({error.strerror})", path, "check the path") from error
    except (ValueError, TypeError, x509.ExtensionNotFound) as error:
        raise KeyFileError("is no list of revoked certificates", path, remedy) from error
    if not signed or end is None:
        raise KeyFileError("is not signed by the authority, with an end", path, remedy)
    serials = {entry.serial_number: entry.revocation_date_utc for entry in read}
    return SignedRevocations(serials, number, end)


def keep_issued(folder: Path, certificate: x509.Certificate) -> None:
    """Keep a certificate of a hospital, by its number, so that it can be revoked one day."""
    issued = folder / ISSUED
    issued.mkdir(exist_ok=True)
    write_bytes(issued / f"{certificate.serial_number:x}.pem", certificate_pem(certificate))


def require_not_revoked(
    place: FederationPlace, authority: Authority, key: ec.EllipticCurvePublicKey
) -> None:
    """Refuse a key of which a certificate is on the list: signed again, it would pass again.

    Raises:
        UsageError: it is such a key.
        KeyFileError: there is a list that cannot be read.
    """
    try:
        listed = read_revocations(place.folder / REVOKED, authority.certificate).serials
    except FileNotFoundError:
        return
    for serial in listed:
        path = place.folder / ISSUED / f"{serial:x}.pem"
        if path.exists() and read_certificates(path)[0].public_key() == key:
            remedy = "have the hospital run gdshare node init into a new folder, and sign that"
            raise UsageError("is for a key whose certificate was revoked", path, remedy)


def renew_list(place: FederationPlace, authority: Authority, now: datetime) -> datetime:
    """Sign the list anew, with what is on it; returns its end.

    Raises:
        KeyFileError: there is a list that cannot be read.
    """
    with _changing(place, authority) as before:
        write_bytes(place.folder / REVOKED, before.signed(authority, now))
    return now + timedelta(days=LIST_DAYS)


def revoke(
    place: FederationPlace, authority: Authority, target: str, now: datetime
) -> list[x509.Certificate]:
    """Put certificates on the list; nginx refuses them once it has read it again.

    Args:
        place: the set-up.
        authority: signs the list.
        target: a hospital's short name, for all certificates that it has; or a PEM file.
        now: UTC.

    Returns:
        Those that were not on the list before; at least one.

    Raises:
        UsageError: no such certificate, none that is in date, or all are on the list.
        KeyFileError: a file that holds no certificate, or a list that cannot be read.
    """
    named = re.fullmatch(SITE, target) is not None
    found = _of_site(place, target) if named else read_certificates(Path(target))[:1]
    for certificate in found:
        _require_hospitals(certificate, authority, target)
    with _changing(place, authority) as before:
        new = [
            certificate
            for certificate in found
            if certificate.serial_number not in before.serials
            and certificate.not_valid_after_utc > now
        ]
        if not new:
            remedy = f"all that were signed lie in {place.folder / ISSUED}"
            raise UsageError("has no certificate that still opens nginx", target, remedy)
        for certificate in new:
            keep_issued(place.folder, certificate)
        serials = {certificate.serial_number: now for certificate in new}
        after = Revocations({**before.serials, **serials}, before.number)
        write_bytes(place.folder / REVOKED, after.signed(authority, now))
    _withdraw_answers(place, set(serials))
    return new


@contextmanager
def _changing(place: FederationPlace, authority: Authority) -> Iterator[Revocations]:
    """The list, locked; an empty one in a folder that was made before there were lists."""
    path = place.folder / REVOKED
    with lock(lock_beside(path)):
        try:
            before: Revocations = read_revocations(path, authority.certificate)
        except FileNotFoundError:
            log.warning("%s is missing; a new list begins: revoke again who was on it", path)
            before = NOBODY
        yield before


def _of_site(place: FederationPlace, site: str) -> list[x509.Certificate]:
    """Every certificate that was signed for a hospital, each once."""
    paths = [*(place.folder / ISSUED).glob("*.pem"), place.folder / SITES / f"{site}.pem"]
    read = [read_certificates(path)[0] for path in paths if path.exists()]
    return list({item.serial_number: item for item in read if subject_of(item) == site}.values())


def _require_hospitals(certificate: x509.Certificate, authority: Authority, target: str) -> None:
    """Only the door looks at the list: the server's own certificate cannot be taken back by it."""
    if not is_signed_by(certificate, authority.certificate):
        raise UsageError("is not signed by ca.pem", target, "give a certificate of this authority")
    if ExtendedKeyUsageOID.CLIENT_AUTH not in set(_uses(certificate)):
        remedy = "nodes look at no list: if server.key was stolen, set the federation up anew"
        raise UsageError("is no hospital's certificate", target, remedy)


def _uses(certificate: x509.Certificate) -> Iterator[x509.ObjectIdentifier]:
    try:
        yield from certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return


def _withdraw_answers(place: FederationPlace, serials: set[int]) -> None:
    """What would be sent to a hospital does not lie there any more once it is revoked."""
    for path in (place.folder / SITES).glob("*.pem"):
        if read_certificates(path)[0].serial_number in serials:
            path.unlink()
