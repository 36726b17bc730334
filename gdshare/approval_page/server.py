"""The page's HTTP API.

::

    GET /                the form, with the page below in a frame
    GET /review.html     what would leave: the bytes that were verified, without any script
    GET /static/PATH     the form's files
    GET /api/bundle      the bundle's name, and never the digest
    POST /api/digest     the typed digest; 422: another one, or too few digits

Errors are ``{"error": "one sentence"}``. A digest that is right ends the page.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gdshare.errors import GdshareError
from gdshare.local_page.assets import assets
from gdshare.local_page.responses import (
    asset_response,
    error_response,
    http_error_response,
    json_body,
    static_route,
)
from gdshare.local_page.serving import serve_page

COMMAND = "gdshare approve --serve"
STATIC = Path(__file__).parent / "static"
MAX_DIGITS = 200
"""Characters of a typed digest, spaces included."""

_FORM = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_REVIEW = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'; sandbox"
)
"""As the page's own policy, and in a sandbox: whatever stood in it could run nothing."""


@dataclass(frozen=True)
class Shown:
    """What the page shows.

    Attributes:
        name: the bundle's.
        page: ``review.html`` as it was verified.
    """

    name: str
    page: bytes


class TypedDigest(BaseModel):
    """The body of POST digest."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    digest: Annotated[str, Field(max_length=MAX_DIGITS)]


def serve_approval(
    shown: Shown,
    require_right: Callable[[str], None],
    port: int,
    announce: Callable[[str], None],
) -> str | None:
    """Serve the page until the digest was typed, or Ctrl-C.

    Args:
        shown: what it shows.
        require_right: raises a ``GdshareError`` unless the typed digest is the right one.
        port, announce: see ``serve_page``.

    Returns:
        the digest as typed; None: the page was left without.

    Raises:
        UsageError: the port is taken.
    """
    typed: list[str] = []

    def app_with(end: Callable[[], None]) -> Starlette:
        def accept(digest: str) -> None:
            require_right(digest)
            typed.append(digest)
            end()

        return approval_app(shown, accept)

    serve_page(app_with, COMMAND, port, announce)
    return typed[0] if typed else None


def approval_app(shown: Shown, accept: Callable[[str], None]) -> Starlette:
    """The application, to be wrapped in ``AuthMiddleware``.

    Args:
        shown: what it shows.
        accept: takes the typed digest, or raises a ``GdshareError``.
    """
    files = assets(STATIC)

    def form(request: Request) -> Response:
        response = asset_response(files["index.html"])
        response.headers["content-security-policy"] = _FORM
        return response

    def review(request: Request) -> Response:
        policy = {"content-security-policy": _REVIEW}
        return Response(shown.page, media_type="text/html", headers=policy)

    async def digest(request: Request) -> Response:
        try:
            body = TypedDigest.model_validate_json(await json_body(request))
        except ValidationError as error:
            raise HTTPException(422, "not a digest; type at least 16 digits of it") from error
        accept(body.digest)
        return JSONResponse({"accepted": shown.name})

    return Starlette(
        routes=[
            Route("/", form),
            Route("/review.html", review),
            static_route(files),
            Route("/api/bundle", lambda request: JSONResponse({"name": shown.name})),
            Route("/api/digest", digest, methods=["POST"]),
        ],
        exception_handlers={HTTPException: http_error_response, GdshareError: error_response},
    )
