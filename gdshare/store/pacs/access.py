"""The address of a PACS and the login to it, checked before anything is sent.

Passwords and films never cross a network unencrypted: plain http is allowed only to this machine,
where a tunnel may begin. The password is read from a file with mode 600, never from the command
line, which every user of the machine can see.
"""

import ipaddress
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from gdshare.secret_files import ExposedError, read_secret_line
from gdshare.store.pacs.errors import AccessError

MAX_PASSWORD = 1000
"""Bytes."""


@dataclass(frozen=True)
class Login:
    """A user of the PACS."""

    user: str
    password: bytes = field(repr=False)


@dataclass(frozen=True)
class Access:
    """How to reach a PACS; create it with ``access_to``.

    Attributes:
        url: its DICOMweb service, without a trailing slash.
        login: None: the PACS needs no login.
        authority: file of CA certificates to trust; None: the public CAs.
    """

    url: str
    login: Login | None = None
    authority: Path | None = None


def access_to(url: str, login: Login | None = None, authority: Path | None = None) -> Access:
    """Check address, login and CA file.

    Raises:
        AccessError: not an http(s) address, credentials in it, plain http over a network, a colon
            in the user name, or a file without certificates.
    """
    if login is not None and ":" in login.user:
        raise AccessError(
            "contains a colon",
            "--dicomweb-user",
            "give the name alone, and the password with --dicomweb-password-file",
        )
    if authority is not None:
        _require_certificates(authority)
    return Access(_checked(url), login, authority)


def read_password(path: Path) -> bytes:
    """Read a password from a file of mode 600; a trailing newline is dropped.

    Raises:
        AccessError: the file is missing, readable by others, empty or too long.
    """
    try:
        password = read_secret_line(path, MAX_PASSWORD)
    except ExposedError as error:
        raise AccessError(error.what, path, error.remedy) from error
    except OSError as error:
        raise AccessError(
            f"cannot be read ({error.strerror})", path, "give a file that contains the password"
        ) from error
    if not 0 < len(password) <= MAX_PASSWORD:
        raise AccessError(
            f"contains no password of 1 to {MAX_PASSWORD} bytes", path, "write the password into it"
        )
    return password


def _checked(url: str) -> str:
    if "@" in url or "?" in url:  # not quoted in the error: it may contain a secret
        raise AccessError(
            "contains a login or a query",
            "--dicomweb",
            "give the address alone, and the login with --dicomweb-user and "
            "--dicomweb-password-file",
        )
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https") or parts.fragment:
        raise AccessError(
            "not a DICOMweb address", url, "addresses look like https://pacs.hospital/dicom-web"
        )
    if parts.scheme == "http" and not _is_local(host):
        raise AccessError(
            "films and passwords would cross the network unencrypted",
            url,
            "give its https address, or a tunnel that begins at http://localhost",
        )
    return url.rstrip("/")


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _require_certificates(path: Path) -> None:
    try:
        ssl.create_default_context(cafile=str(path))
    except OSError as error:  # includes ssl.SSLError
        raise AccessError(
            "contains no PEM certificates", path, "give your hospital's CA file"
        ) from error
