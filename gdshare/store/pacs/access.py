"""Where a PACS is and who asks, checked before anything is sent.

Passwords and films do not cross a network in clear: plain http goes to this machine only, where a
tunnel may begin. A secret stands in a file for its owner alone, never on a command line, which
every user of the machine can read.
"""

import ipaddress
import os
import ssl
import stat
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from gdshare.store.pacs.faults import PacsError

LONGEST_PASSWORD = 1000


@dataclass(frozen=True)
class Login:
    """A user of the PACS."""

    user: str
    password: bytes = field(repr=False)


@dataclass(frozen=True)
class Access:
    """How to reach a PACS; made by ``access_to``.

    Attributes:
        url: of its DICOMweb service, without a slash at its end.
        login: who asks; None: the PACS lets everybody in.
        authority: file of the certificates that vouch for the PACS; None: the public ones.
    """

    url: str
    login: Login | None = None
    authority: Path | None = None


def access_to(url: str, login: Login | None = None, authority: Path | None = None) -> Access:
    """Check how a PACS is to be reached.

    Raises:
        PacsError: no such address, credentials in it, plain http over a network, a user's name
            that holds a password, or a file without certificates.
    """
    if login is not None and ":" in login.user:
        raise PacsError(
            "--dicomweb-user: holds a colon",
            remedy="give the name alone, and the password by --dicomweb-password-file",
        )
    if authority is not None:
        _require_certificates(authority)
    return Access(_checked(url), login, authority)


def read_password(path: Path) -> bytes:
    """Read a password from a file that nobody else may read; a line's end at its end is dropped.

    Raises:
        PacsError: not there, readable by others, empty, or too long.
    """
    try:
        with path.open("rb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            content = stream.read(LONGEST_PASSWORD + 2)
    except OSError as error:
        raise PacsError(
            f"cannot be read ({error.strerror})", path, "give a file that holds the password"
        ) from error
    if mode & 0o077:
        raise PacsError("holds a password and others may read it", path, f"chmod 600 {path.name}")
    password = content.removesuffix(b"\n").removesuffix(b"\r")
    if not 0 < len(password) <= LONGEST_PASSWORD:
        raise PacsError(f"holds no password of 1 to {LONGEST_PASSWORD} bytes", path, "write it in")
    return password


def _checked(url: str) -> str:
    if "@" in url or "?" in url:  # not quoted: it may be a secret
        raise PacsError(
            "--dicomweb: give the address alone, and who asks by --dicomweb-user and "
            "--dicomweb-password-file"
        )
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https") or parts.fragment:
        raise PacsError(
            "not an address of DICOMweb", url, "they look like https://pacs.hospital/dicom-web"
        )
    if parts.scheme == "http" and not _is_here(host):
        raise PacsError(
            "films and passwords would cross the network in clear",
            url,
            "give its https address, or a tunnel that begins at http://localhost",
        )
    return url.rstrip("/")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _require_certificates(path: Path) -> None:
    try:
        ssl.create_default_context(cafile=str(path))
    except OSError as error:  # ssl.SSLError is one
        raise PacsError(
            "holds no certificates in PEM", path, "give the file of your hospital's authority"
        ) from error
