"""Every request to a PACS and every byte of its answers: bounded, and tried again where that helps.

dicomweb-client asks the queries. Films it would hold in memory several times over, header and all,
and inflate without bound, so they are read here, through the same bounds, piece by piece.
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
from gdshare.store.pacs.faults import AnswerError, PassingError, explained

Clock = Callable[[], float]
Sleep = Callable[[float], None]
Answer = TypeVar("Answer")

CONNECT_SECONDS, SILENT_SECONDS = 10.0, 60.0
QUERY_SECONDS, FILM_SECONDS = 120.0, 900.0
"""What a whole answer may take; the largest film comes in that time at 10 Mbit/s."""
MAX_QUERY_BYTES = 16 * 1024**2
PIECE_BYTES = 1024**2
WAITS = (1.0, 3.0, 9.0)
"""Seconds before each further try."""
STORED_SYNTAX = 'multipart/related; type="application/dicom"; transfer-syntax=*'

# It logs a server's own words; without a handler they would land on the terminal.
logging.getLogger("dicomweb_client").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Line:
    """An open line to a PACS; ``line_to`` opens it.

    Attributes:
        url: of its DICOMweb service.
        client: asks queries.
        films: retrieves them.
        sleep: seconds.
    """

    url: str
    client: DICOMwebClient
    films: requests.Session
    sleep: Sleep

    def asked(self, ask: Callable[[], Answer]) -> Answer:
        """Ask, and ask again after a pause where the fault may have passed.

        Raises:
            PacsError: it has not, or is of another kind.
        """
        for wait in WAITS:
            try:
                with explained(self.url):
                    return ask()
            except PassingError:
                self.sleep(wait)
        with explained(self.url):
            return ask()

    def get(self, address: str) -> requests.Response:
        """Begin to retrieve a film, in the encoding that the PACS keeps it in."""
        headers = {"Accept": STORED_SYNTAX, "Accept-Encoding": "identity"}
        response = self.films.get(
            address, headers=headers, stream=True, timeout=(CONNECT_SECONDS, SILENT_SECONDS)
        )
        response.raise_for_status()
        return response


@contextmanager
def line_to(
    access: Access, clock: Clock, sleep: Sleep, most_bytes: int = MAX_FILE_BYTES
) -> Iterator[Line]:
    """Open a line to a PACS; nothing is sent yet.

    Args:
        access: where and who.
        clock: seconds, of any beginning.
        sleep: seconds.
        most_bytes: of a film's answer.
    """
    queries = _session(access, _Bounds(MAX_QUERY_BYTES, QUERY_SECONDS, clock))
    films = _session(access, _Bounds(most_bytes, FILM_SECONDS, clock))
    with queries, films:
        client = DICOMwebClient(access.url, queries, timeout=(CONNECT_SECONDS, SILENT_SECONDS))
        client.set_http_retry_params(retry=False)  # its own knows only statuses, and no clock
        yield Line(access.url, client, films, sleep)


@dataclass(frozen=True)
class _Bounds:
    most_bytes: int
    seconds: float
    clock: Clock


def _session(access: Access, bounds: _Bounds) -> requests.Session:
    session = requests.Session()
    # No proxy and no password that the environment happens to name.
    session.trust_env = False
    session.max_redirects = 0
    session.verify = True if access.authority is None else str(access.authority)
    if access.login is not None:
        session.auth = HTTPBasicAuth(access.login.user.encode(), access.login.password)
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Adapter(bounds))
    return session


class _Adapter(HTTPAdapter):
    """Bounds every answer's body."""

    def __init__(self, bounds: _Bounds) -> None:
        super().__init__()
        self._bounds = bounds

    def send(self, request: requests.PreparedRequest, *args: Any, **told: Any) -> requests.Response:
        request.headers.pop("Host", None)  # dicomweb-client leaves the port out of it
        until = self._bounds.clock() + self._bounds.seconds
        response = super().send(request, *args, **told)
        response.raw = _Body(response.raw, self._bounds, until)
        return response


class _Body:
    """A body to be read in pieces, each with one look at the clock."""

    def __init__(self, raw: BaseHTTPResponse, bounds: _Bounds, until: float) -> None:
        self._raw, self._left, self._bounds, self._until = raw, bounds.most_bytes, bounds, until

    def read(self, size: int) -> bytes:
        if (self._raw.length_remaining or 0) > self._left:
            self._left = -1
        # Not read(): it waits for all of ``size``, however slowly that drips in.
        piece = b"" if self._left < 0 else self._raw.read1(size, decode_content=True)
        self._left -= len(piece)
        if self._left < 0:
            self.close()
            raise AnswerError(
                f"sends more than {self._bounds.most_bytes} bytes at once, as nothing "
                "asked for should need",
                remedy="ask whoever runs it",
            )
        if self._bounds.clock() > self._until:
            self.close()
            raise AnswerError(
                f"takes longer than {self._bounds.seconds:.0f} s for one answer",
                remedy="ask whoever runs it",
            )
        return piece

    def close(self) -> None:
        self._raw.close()

    def release_conn(self) -> None:
        self._raw.release_conn()
