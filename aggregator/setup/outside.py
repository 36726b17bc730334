"""What a stranger gets from the aggregator's machine: nothing, or the check fails.

Run from another network than the aggregator's. Whoever reaches the SuperLink's control addresses
runs programs on its machine, so without a client certificate no address may answer at all.
"""

import http.client
import re
import socket
import ssl
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from gdshare.deploy.finding import Finding, end_finding, fault, ok, warning
from gdshare.errors import FederationError, UsageError

DOORS: Final = (
    ("GET", "/health"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("POST", "/v1/control/list-runs"),
    ("POST", "/v1/control/start-run"),
    ("POST", "/v1/control/register-node"),
    ("POST", "/v1/runtime/acquire-task"),
    ("POST", "/v1/fleet/register-node"),
    ("POST", "/v1/fleet/get-fab"),
)
"""What nobody from outside may reach, with a certificate or without."""
FOR_NODES: Final = ("POST", "/v1/fleet/pull-messages")
OTHER_PORTS: Final = (8000, 9091, 9092, 9093)
"""On which Flower listens, by today's defaults and earlier ones."""
TIMEOUT_S: Final = 10.0
MAX_BODY: Final = 4096
REFUSES_US = re.compile(rb"certificate", re.IGNORECASE)
_REMEDY: Final = "put nginx before it, as gdshare federation init writes it, and open no other port"


@dataclass(frozen=True)
class Door:
    """Where to knock, and as whom.

    Attributes:
        host, port: the aggregator's, as a hospital knows it.
        authority: PEM of who must have signed its certificate; None: not verified.
        certificate, key: a hospital's, to check what it can reach; None: a stranger.
    """

    host: str
    port: int
    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True)
class _Answer:
    status: int | None
    body: bytes = b""

    @property
    def refuses_strangers(self) -> bool:
        """Cut off, or turned away for want of a certificate."""
        return self.status is None or (
            self.status in (400, 403, 495, 496) and bool(REFUSES_US.search(self.body))
        )


def check_outside(door: Door, now: datetime, ports: Sequence[int] = OTHER_PORTS) -> list[Finding]:
    """Knock at every door.

    Args:
        door: where, and as whom.
        now: UTC.
        ports: others of the host at which nothing may answer.

    Raises:
        FederationError: nothing answers at the address.
        UsageError: the certificates cannot be used.
    """
    stranger, known = _context(door, certified=False), _context(door, certified=True)
    try:
        certificate = _certificate(door, stranger)
    except ssl.SSLCertVerificationError as error:
        return [fault("certificate", f"the server's is not of the authority ({error.reason})", "")]
    except ssl.SSLError:
        return [*_without_tls(door)]
    again = "gdshare federation renew, then reload nginx and restart the SuperLink"
    end = certificate.not_valid_after_utc
    findings = [end_finding("certificate", "the server's", end, now, again)]
    findings += _as_a_stranger(door, stranger)
    findings += _old_tls(door)
    if known is not None:
        findings += _as_a_hospital(door, known)
    return findings + [_other_port(door.host, port) for port in ports if port != door.port]


def _context(door: Door, certified: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=door.authority)
        if door.authority is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if certified and door.certificate is not None:
            context.load_cert_chain(door.certificate, door.key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"cannot be used ({error})", "--root-certificates or --client-certificate", "check them"
        ) from error
    return context


def _connection(door: Door) -> socket.socket:
    try:
        return socket.create_connection((door.host, door.port), TIMEOUT_S)
    except OSError as error:
        raise FederationError(
            f"nothing answers ({error.strerror or error})",
            f"{door.host}:{door.port}",
            "check the address, and whether nginx runs",
        ) from error


def _certificate(door: Door, context: ssl.SSLContext) -> x509.Certificate:
    with (
        closing(_connection(door)) as plain,
        context.wrap_socket(plain, server_hostname=door.host) as secure,
    ):
        content = secure.getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(content or b"")


def _ask(door: Door, context: ssl.SSLContext | None, method: str, path: str) -> _Answer:
    kind = http.client.HTTPConnection
    connection: http.client.HTTPConnection
    if context is None:
        connection = kind(door.host, door.port, timeout=TIMEOUT_S)
    else:
        connection = http.client.HTTPSConnection(
            door.host, door.port, timeout=TIMEOUT_S, context=context
        )
    with closing(connection):
        try:
            connection.request(method, path, headers={"Content-Length": "0"})
            response = connection.getresponse()
            return _Answer(response.status, response.read(MAX_BODY))
        except (OSError, http.client.HTTPException):
            return _Answer(None)


def _without_tls(door: Door) -> Iterator[Finding]:
    answers = {path: _ask(door, None, method, path) for method, path in DOORS}
    open_to_all = [path for path, answer in answers.items() if answer.status not in (None, 400)]
    said = (
        f"speaks no TLS that a node takes; in clear, {', '.join(open_to_all) or 'nothing'} answers"
    )
    yield fault("TLS", said, _REMEDY)


def _as_a_stranger(door: Door, context: ssl.SSLContext) -> Iterator[Finding]:
    opened = []
    for method, path in DOORS:
        answer = _ask(door, context, method, path)
        if not answer.refuses_strangers:
            opened.append(f"{path} (HTTP {answer.status})")
    if opened:
        said = (
            f"without a certificate, {', '.join(opened)} answers: strangers can run programs there"
        )
        yield fault("strangers", said, _REMEDY)
    asked = _ask(door, context, *FOR_NODES).refuses_strangers
    if not asked:
        yield fault("client certificate", "none is asked for", "nginx: ssl_verify_client on")
    if asked and not opened:
        yield ok("strangers", "nothing answers without a client certificate")


def _as_a_hospital(door: Door, context: ssl.SSLContext) -> Iterator[Finding]:
    if door.certificate is None:
        return
    opened = []
    for method, path in DOORS:
        answer = _ask(door, context, method, path)
        if answer.status not in (403, 404):
            opened.append(f"{path} (HTTP {answer.status})")
    if opened:
        said = f"with a hospital's certificate, {', '.join(opened)} answers"
        yield fault("hospitals", said, _REMEDY)
    status = _ask(door, context, *FOR_NODES).status
    if status in (None, 400, 403, 404, 502, 503, 504):
        said = f"{FOR_NODES[1]} does not reach the SuperLink (HTTP {status})"
        yield fault("hospitals", said, "check that the SuperLink runs, and this certificate")
    elif not opened:
        yield ok("hospitals", "a hospital's certificate reaches what a node needs, and no more")


def _old_tls(door: Door) -> Iterator[Finding]:
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        taken = _takes(door, version)
        name = version.name.replace("v1_", " 1.").replace("v1", " 1.0")
        if taken is None:
            said = f"whether {name} is refused could not be tried: this machine's OpenSSL lacks it"
            yield warning("TLS", said, "run the check elsewhere")
        elif taken:
            yield fault("TLS", f"takes {name}", "nginx: ssl_protocols TLSv1.2 TLSv1.3")
        else:
            yield ok("TLS", f"refuses {name}")


def _takes(door: Door, version: ssl.TLSVersion) -> bool | None:
    """Whether a version of TLS is taken; None: it cannot be tried."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
    except (ValueError, ssl.SSLError):
        return None
    with closing(_connection(door)) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=door.host):
                return True
        except ssl.SSLError as error:
            return None if "NO_PROTOCOLS" in str(error.reason) else False
        except OSError:
            return False


def _other_port(host: str, port: int) -> Finding:
    try:
        with socket.create_connection((host, port), TIMEOUT_S):
            said = f"port {port} answers, on which Flower listens"
            return fault("ports", said, "have it listen on 127.0.0.1, and close the port")
    except OSError:
        return ok("ports", f"port {port} does not answer")
