"""Requests to a PACS, limited in bytes and seconds, and retried after transient failures.

dicomweb-client sends the queries. It would keep films in memory several times over and inflate them
without a limit, so films are read here, in chunks, under the same limits.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import requests
from dicomweb_client import DICOMwebClient
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from urllib3.response import BaseHTTPResponse

from gdshare.films.dicom.header import MAX_FILE_BYTES
from gdshare.store.pacs.access import Access
from gdshare.store.pacs.errors import (
    ASK_ADMINISTRATOR,
    ResponseError,
    TransientError,
    translate_errors,
)

Clock = Callable[[], float]
Sleep = Callable[[float], None]
T = TypeVar("T")

TIMEOUTS_S = (10.0, 60.0)
"""To connect, and between bytes."""
QUERY_TIMEOUT_S, FILM_TIMEOUT_S = 120.0, 900.0
"""For a whole response; at 10 Mbit/s the largest film arrives in time."""
MAX_QUERY_BYTES = 16 * 1024**2
CHUNK_BYTES = 1024**2
RETRY_DELAYS_S = (1.0, 3.0, 9.0)
STORED_SYNTAX = 'multipart/related; type="application/dicom"; transfer-syntax=*'

# It logs what the server says; without a handler that would reach the terminal.
logging.getLogger("dicomweb_client").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Connection:
    """A connection to a PACS; ``connect`` opens it.

    Attributes:
        url: the DICOMweb service.
        client: sends queries.
        films: retrieves films.
        sleep: waits for so many seconds.
    """

    url: str
    client: DICOMwebClient
    films: requests.Session
    sleep: Sleep

    def retry(self, request: Callable[[], T]) -> T:
        """Send a request, and retry it after transient failures.

        Raises:
            PacsError: the failure persists, or is not transient.
        """
        for delay in RETRY_DELAYS_S:
            try:
                with translate_errors(self.url):
                    return request()
            except TransientError:
                self.sleep(delay)
        with translate_errors(self.url):
            return request()

    def get(self, address: str) -> requests.Response:
        """Start to retrieve a film in its stored encoding."""
        headers = {"Accept": STORED_SYNTAX, "Accept-Encoding": "identity"}
        response = self.films.get(address, headers=headers, stream=True, timeout=TIMEOUTS_S)
        response.raise_for_status()
        return response


@contextmanager
def connect(
    access: Access, clock: Clock, sleep: Sleep, max_bytes: int = MAX_FILE_BYTES
) -> Iterator[Connection]:
    """Open a connection to a PACS; nothing is sent yet.

    Args:
        access: address and login.
        clock: monotonic seconds.
        sleep: waits for so many seconds.
        max_bytes: of a film's response.
    """
    queries = _session(access, _Limits(MAX_QUERY_BYTES, QUERY_TIMEOUT_S, clock))
    films = _session(access, _Limits(max_bytes, FILM_TIMEOUT_S, clock))
    with queries, films:
        client = DICOMwebClient(access.url, queries, timeout=TIMEOUTS_S)
        client.set_http_retry_params(retry=False)  # its retries look at the status only
        yield Connection(access.url, client, films, sleep)


@dataclass(frozen=True)
class _Limits:
    max_bytes: int
    seconds: float
    clock: Clock


def _session(access: Access, limits: _Limits) -> requests.Session:
    session = requests.Session()
    # Ignore proxies and logins of the environment.
    session.trust_env = False
    session.max_redirects = 0
    session.verify = True if access.authority is None else str(access.authority)
    if access.login is not None:
        session.auth = HTTPBasicAuth(access.login.user.encode(), access.login.password)
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Adapter(limits))
    return session


class _Adapter(HTTPAdapter):
    """Limits every response body."""

    def __init__(self, limits: _Limits) -> None:
        super().__init__()
        self._limits = limits

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        request.headers.pop("Host", None)  # dicomweb-client omits the port
        deadline = self._limits.clock() + self._limits.seconds
        response = super().send(request, *args, **kwargs)
        response.raw = _Body(response.raw, self._limits, deadline)
        return response


class _Body:
    """A response body, read in chunks; each read checks the limits."""

    def __init__(self, raw: BaseHTTPResponse, limits: _Limits, deadline: float) -> None:
        self._raw, self._left = raw, limits.max_bytes
        self._limits, self._deadline = limits, deadline

    def read(self, size: int) -> bytes:
        if (self._raw.length_remaining or 0) > self._left:
            self._left = -1
        # Not read(): it waits for all of ``size``, however slowly the bytes arrive.
        chunk = b"" if self._left < 0 else self._raw.read1(size, decode_content=True)
        self._left -= len(chunk)
        if self._left < 0:
            self.close()
            raise ResponseError(
                f"sends more than {self._limits.max_bytes} bytes in one response",
                remedy=ASK_ADMINISTRATOR,
            )
        if self._limits.clock() > self._deadline:
            self.close()
            raise ResponseError(
                f"takes longer than {self._limits.seconds:.0f} s for one response",
                remedy=ASK_ADMINISTRATOR,
            )
        return chunk

    def close(self) -> None:
        self._raw.close()

    def release_conn(self) -> None:
        self._raw.release_conn()
