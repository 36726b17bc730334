"""What can go wrong between a PACS and here, and what of it ends an import."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import requests
import urllib3.exceptions

from gdshare.errors import GdshareError

PASSING = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
NOT_ALLOWED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


class PacsError(GdshareError):
    """A PACS that cannot be asked at all: not trusted, or it does not let this user in."""


class PassingError(PacsError):
    """A fault that may be gone a moment later; the request is worth another try."""


class AnswerError(PacsError):
    """One answer that cannot be used; the next may be sound."""


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn every fault of a request inside the block into one plain error.

    Args:
        url: of the PACS, for the message.

    Raises:
        PacsError: or a kind of it.
    """
    try:
        yield
    except PacsError as error:  # raised deep inside, where the address is not known
        raise error.at(url) from error
    except (
        requests.RequestException,
        urllib3.exceptions.HTTPError,  # while a body is read
        ValueError,  # no JSON
        RecursionError,  # JSON nested without end
    ) as error:
        raise _explanation(error, url) from error


def _explanation(error: Exception, url: str) -> PacsError:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return _refusal(error.response.status_code, url)
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
        return PacsError(
            "its certificate is not one to be trusted",
            url,
            "give the file of the authority that your hospital uses by --dicomweb-ca",
        )
    if isinstance(error, requests.TooManyRedirects):
        return PacsError("sends on to another address", url, "give that one, if it is right")
    if isinstance(
        error,
        requests.ConnectionError
        | requests.Timeout
        | requests.exceptions.ChunkedEncodingError
        | urllib3.exceptions.ProtocolError
        | urllib3.exceptions.TimeoutError,
    ):
        return PassingError(
            "does not answer, or breaks off", url, "check the address and whether the PACS runs"
        )
    return AnswerError(
        f"answers what is not DICOMweb ({type(error).__name__})", url, "check the address"
    )


def _refusal(status: int, url: str) -> PacsError:
    if status in NOT_ALLOWED:
        return PacsError(
            f"does not let this user in ({status})",
            url,
            "check --dicomweb-user and --dicomweb-password-file",
        )
    if status in PASSING:
        return PassingError(f"is too busy to answer ({status})", url, "try again later")
    if status == HTTPStatus.NOT_FOUND:
        return AnswerError("has nothing at that address (404)", url, "check its path")
    return AnswerError(f"answers with an error ({status})", url, "ask whoever runs it")
