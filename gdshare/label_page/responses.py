"""What requests and answers have in common, whatever they are about."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gdshare.errors import StaleError
from gdshare.label_page.assets import Asset

MAX_BODY = 1024**2
"""Bytes: an outline of the most points that the store takes."""


async def json_body(request: Request) -> bytes:
    """Read a body of JSON: no more than ``MAX_BODY``, whatever the header says of its length.

    Raises:
        HTTPException: larger, or of another type: what a form on another site could send.
    """
    if request.headers.get("content-type") != "application/json":
        raise HTTPException(415, "what is sent here is application/json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPException(413, f"larger than {MAX_BODY:,} bytes; draw with fewer points")
    return bytes(body)


def asset_answer(asset: Asset) -> Response:
    """One of the page's own files; its type is given whole, or starlette adds a second charset."""
    return Response(asset.content, headers={"content-type": asset.media_type})


def http_refusal(request: Request, error: Exception) -> Response:
    """An ``HTTPException`` as JSON."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    reason = error.detail if isinstance(error, HTTPException) else str(error)
    return JSONResponse({"error": reason}, status)


def refusal(request: Request, error: Exception) -> Response:
    """A ``GdshareError`` as JSON."""
    return JSONResponse({"error": str(error)}, 409 if isinstance(error, StaleError) else 422)
