"""Reading request bodies, and responses common to all routes."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gdshare.errors import StaleError
from gdshare.local_page.assets import Asset

MAX_BODY = 1024**2
"""Bytes; enough for an outline with the most points the store accepts."""


async def json_body(request: Request) -> bytes:
    """Read a JSON body of at most ``MAX_BODY`` bytes, whatever Content-Length says.

    Raises:
        HTTPException: too large, or another content type, such as a form on another site can send.
    """
    if request.headers.get("content-type") != "application/json":
        raise HTTPException(415, "the body must be application/json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPException(413, f"larger than {MAX_BODY:,} bytes; draw with fewer points")
    return bytes(body)


def static_route(files: Mapping[str, Asset]) -> Route:
    """The route of a page's own files."""

    def static(request: Request) -> Response:
        asset = files.get(request.path_params["path"])
        if asset is None:
            raise HTTPException(404, "no such file")
        return asset_response(asset)

    return Route("/static/{path:path}", static)


def asset_response(asset: Asset) -> Response:
    """One of the page's own files; as a header, since starlette adds a charset to media types."""
    return Response(asset.content, headers={"content-type": asset.media_type})


def http_error_response(request: Request, error: Exception) -> Response:
    """An ``HTTPException`` as JSON."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    reason = error.detail if isinstance(error, HTTPException) else str(error)
    return JSONResponse({"error": reason}, status)


def error_response(request: Request, error: Exception) -> Response:
    """A ``GdshareError`` as JSON."""
    return JSONResponse({"error": str(error)}, 409 if isinstance(error, StaleError) else 422)
