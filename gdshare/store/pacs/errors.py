"""What can go wrong with a PACS, and how each failure affects an import.

::

    PacsError                the import ends
    ├── AccessError          an address, a login or a certificate file that cannot be used
    ├── TransientError       the request is retried
    └── ResponseError        one film is refused
        └── DeadlineError    and after a few in a row the import ends
"""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import requests
import urllib3.exceptions

from gdshare.errors import RemoteError, UsageError

TRANSIENT = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
FORBIDDEN = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})

ASK_ADMINISTRATOR = "ask the PACS administrator"


class PacsError(RemoteError):
    """A PACS that cannot be used at all: untrusted, or it rejects the login."""


class AccessError(PacsError, UsageError):
    """An address, a login or a certificate file that cannot be used: nothing was sent."""


class TransientError(PacsError):
    """A failure that may pass; the request is worth retrying."""


class ResponseError(PacsError):
    """A single response that cannot be used; the next may be fine."""


class DeadlineError(ResponseError):
    """A response that does not arrive in time; the request is not retried, to lose no more time."""


@contextmanager
def translate_errors(url: str) -> Iterator[None]:
    """Turn every failure of a request inside the block into a ``PacsError``.

    Args:
        url: the PACS, for the message.

    Raises:
        PacsError: or a subclass.
    """
    try:
        yield
    except PacsError as error:  # raised where the address is unknown
        raise error.at(url) from error
    except (
        requests.RequestException,
        urllib3.exceptions.HTTPError,  # while a body is read
        ValueError,  # invalid JSON
        RecursionError,  # deeply nested JSON
    ) as error:
        raise _translate(error, url) from error


def _translate(error: Exception, url: str) -> PacsError:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return _from_status(error.response.status_code, url)
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
        return PacsError(
            "its certificate is not trusted", url, "give your hospital's CA file with --dicomweb-ca"
        )
    if isinstance(error, requests.TooManyRedirects):
        return PacsError("redirects to another address", url, "give that address if it is right")
    if isinstance(
        error,
        requests.ConnectionError
        | requests.Timeout
        | requests.exceptions.ChunkedEncodingError
        | urllib3.exceptions.ProtocolError
        | urllib3.exceptions.TimeoutError,
    ):
        return TransientError(
            "does not answer, or drops the connection",
            url,
            "check the address and whether the PACS is running",
        )
    return ResponseError(
        f"its response is not DICOMweb ({type(error).__name__})", url, "check the address"
    )


def _from_status(status: int, url: str) -> PacsError:
    if status in FORBIDDEN:
        return PacsError(
            f"rejects the login ({status})",
            url,
            "check --dicomweb-user and --dicomweb-password-file",
        )
    if status in TRANSIENT:
        return TransientError(f"is too busy to answer ({status})", url, "try again later")
    if status == HTTPStatus.NOT_FOUND:
        return ResponseError("has nothing at that address (404)", url, "check its path")
    return ResponseError(f"answers with an error ({status})", url, ASK_ADMINISTRATOR)
