"""Requests to a PACS, limited in bytes and seconds, and retried after transient failures.

dicomweb-client sends the queries. It would keep films in memory several times over and inflate them
without a limit, so films are read here, in chunks, under the same limits.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import requests
from dicomweb_client import DICOMwebClient
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from urllib3.response import BaseHTTPResponse

from gdshare.films.dicom.header import MAX_FILE_BYTES
from gdshare.store.pacs.access import Access
from gdshare.store.pacs.deadline import Deadline, guarded_pools
from gdshare.store.pacs.errors import (
    ASK_ADMINISTRATOR,
    ResponseError,
    TransientError,
    translate_errors,
)

Sleep = Callable[[float], None]
T = TypeVar("T")

TIMEOUTS_S = (10.0, 60.0)
"""To connect, and between bytes."""
CHUNK_BYTES = 1024**2
RETRY_DELAYS_S = (1.0, 3.0, 9.0)
STORED_SYNTAX = 'multipart/related; type="application/dicom"; transfer-syntax=*'


@dataclass(frozen=True)
class Limits:
    """Bounds of one response.

    Attributes:
        max_bytes: of its body.
        head_s: seconds until its headers are complete, connecting included.
        body_s: seconds for its body after that.
    """

    max_bytes: int
    head_s: float
    body_s: float


QUERY_LIMITS = Limits(16 * 1024**2, 60.0, 120.0)
FILM_LIMITS = Limits(MAX_FILE_BYTES, 60.0, 900.0)
"""At 10 Mbit/s the largest film arrives in time."""

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
    access: Access, sleep: Sleep, queries: Limits = QUERY_LIMITS, films: Limits = FILM_LIMITS
) -> Iterator[Connection]:
    """Open a connection to a PACS; nothing is sent yet.

    Args:
        access: address and login.
        sleep: waits for so many seconds.
        queries, films: bounds of each response to a query, and of each film.
    """
    with _session(access, queries) as searching, _session(access, films) as retrieving:
        client = DICOMwebClient(access.url, searching, timeout=TIMEOUTS_S)
        client.set_http_retry_params(retry=False)  # its retries look at the status only
        yield Connection(access.url, client, retrieving, sleep)


def _session(access: Access, limits: Limits) -> requests.Session:
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
    """Bounds every response, in bytes and seconds."""

    def __init__(self, limits: Limits) -> None:
        self._limits, self._deadline = limits, Deadline()
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = guarded_pools(self._deadline)

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        request.headers.pop("Host", None)  # dicomweb-client omits the port
        self._deadline.start(self._limits.head_s)
        with ExitStack() as failed:
            with self._deadline.kept():
                response = super().send(request, *args, **kwargs)
                failed.callback(response.close)
            failed.pop_all()
        response.raw = _Body(response.raw, self._limits, self._deadline)
        return response

    def close(self) -> None:
        super().close()
        self._deadline.close()


class _Body:
    """A response body, read in chunks within the limits."""

    def __init__(self, raw: BaseHTTPResponse, limits: Limits, deadline: Deadline) -> None:
        self._raw, self._left = raw, limits.max_bytes
        self._limits, self._deadline = limits, deadline
        deadline.start(limits.body_s)

    def read(self, size: int) -> bytes:
        if (self._raw.length_remaining or 0) > self._left:
            self._left = -1
        # Not read(): it waits for all of ``size``, however slowly the bytes arrive.
        with self._deadline.kept():
            chunk = b"" if self._left < 0 else self._raw.read1(size, decode_content=True)
        self._left -= len(chunk)
        if self._left < 0:
            self.close()
            raise ResponseError(
                f"sends more than {self._limits.max_bytes} bytes in one response",
                remedy=ASK_ADMINISTRATOR,
            )
        if not chunk:
            self._deadline.stop()
        return chunk

    def close(self) -> None:
        self._raw.close()
        self._deadline.close()

    def release_conn(self) -> None:
        self._raw.release_conn()
