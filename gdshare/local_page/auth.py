"""Access control: only the browser of the person who started the server is admitted.

Any program and any web page on this machine can reach a port of 127.0.0.1. Therefore, in this
order:

1. Requests with a foreign ``Host`` are refused: another site may resolve its own name to our
   address (DNS rebinding).
2. Requests that may change something are refused unless their ``Origin`` is this server.
3. The token in the printed address is exchanged, once, for a cookie that is HttpOnly and
   SameSite=strict. After that the token is void.
4. Everything else needs that cookie.

Every response, including refusals, carries ``HEADERS``, in which it may replace a value by its own.

Residual risk: browsers send cookies of 127.0.0.1 to all of its ports. Another web server on this
machine sees the cookie if the same browser visits it meanwhile.
"""

import secrets
from collections.abc import MutableMapping
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gdshare.local_page.connections import CONNECTION

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = (
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
)
SAFE_METHODS = ("GET", "HEAD")
TOKEN = "token"  # noqa: S105 - the query parameter


class AuthMiddleware:
    """ASGI middleware that admits a single browser.

    Args:
        app: the protected application.
        host: ``127.0.0.1:PORT``, as browsers send it.
        token: in the printed address.
        session: the cookie's value; another secret, since addresses end up in histories.
        command: that serves the page, for refusals.
    """

    def __init__(  # noqa: D107
        self, app: ASGIApp, host: str, token: str, session: str, command: str
    ) -> None:
        self._app, self._host, self._command = app, host, command
        self._token: str | None = token
        self._session = session
        # Browsers share cookies among ports; two servers must not share theirs.
        self._cookie = f"gdshare-{host.rpartition(':')[2]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on."""
        if scope["type"] != "http":
            return  # no websockets, no lifespan
        refusal = self._check(Request(scope))
        connection = scope.get("state", {}).get(CONNECTION)
        if refusal is None and connection is not None:
            connection.admit()
        response = refusal or self._app
        await response(scope, receive, _with_headers(send))

    def _check(self, request: Request) -> Response | None:
        """A refusal, or the token's exchange; None: admitted."""
        if request.headers.getlist("host") != [self._host]:
            return _refusal(f"this server answers only as http://{self._host}", 421)
        if request.method not in SAFE_METHODS and request.headers.getlist("origin") != [
            f"http://{self._host}"
        ]:
            return _refusal("only the page itself may change anything", 403)
        admitted = _equal(request.cookies.get(self._cookie), self._session)
        if TOKEN in request.query_params:
            return self._exchange(request.query_params[TOKEN], admitted)
        if not admitted:
            return _refusal(
                f"open the address printed by {self._command}, including its token; it works "
                "once, in a single browser",
                401,
            )
        return None

    def _exchange(self, token: str, admitted: bool) -> Response:
        if not admitted and not _equal(token, self._token):
            return _refusal(
                f"this address is wrong or was used before; stop {self._command} (Ctrl-C), "
                "start it again and open the new address",
                403,
            )
        response = RedirectResponse("/", 303)
        if not admitted:
            self._token = None
            response.set_cookie(
                self._cookie, self._session, path="/", httponly=True, samesite="strict"
            )
        return response


def _equal(value: str | None, secret: str | None) -> bool:
    """Compare in constant time."""
    if value is None or secret is None:
        return False
    return secrets.compare_digest(value.encode(), secret.encode())


def _refusal(reason: str, status: int) -> Response:
    return PlainTextResponse(f"gdshare: {reason}\n", status)


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = list(message.get("headers", ()))  # a response may have a policy of its own
            names = {name for name, _ in own}
            headers = [(name.encode(), value.encode()) for name, value in HEADERS]
            added = [header for header in headers if header[0] not in names]
            message = {**message, "headers": [*own, *added]}
        await send(message)

    return send_with_headers
