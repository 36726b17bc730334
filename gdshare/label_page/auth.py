"""Who may ask anything of the page's server: the browser of the person who started it.

Any program and any web page on this machine can reach a port of 127.0.0.1, so that alone keeps
nobody out. In this order:

1. A request whose ``Host`` is not this server's own address is refused: a page elsewhere may give
   its own name our address (DNS rebinding).
2. A request that may change something is refused unless its ``Origin`` is this server.
3. The token in the printed address is exchanged, once, for a cookie that scripts cannot read and
   that no other site's request carries. After that it is worth nothing.
4. Everything else needs that cookie.

Every answer, refusals too, carries ``HEADERS``.

What is left: browsers send a cookie of 127.0.0.1 to every port of it. Whoever runs another web
server on this machine, and gets the same browser to visit it meanwhile, sees the cookie.
"""

import secrets
from collections.abc import MutableMapping
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

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
READING = ("GET", "HEAD")
TOKEN = "token"  # noqa: S105 - its name in the address


class Door:
    """An ASGI application in front of another.

    Args:
        app: that nobody reaches but by this one.
        host: ``127.0.0.1:PORT``, as browsers name it.
        token: of the printed address.
        session: what the cookie holds; another secret, as addresses are written to histories.
    """

    def __init__(self, app: ASGIApp, host: str, token: str, session: str) -> None:  # noqa: D107
        self._app, self._host = app, host
        self._token: str | None = token
        self._session = session
        # Browsers share cookies among the ports of a machine; two servers must not share one.
        self._cookie = f"gdshare-label-{host.rpartition(':')[2]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            return  # neither websockets nor start-up messages are served
        answer = self._answer(Request(scope)) or self._app
        await answer(scope, receive, _with_headers(send))

    def _answer(self, request: Request) -> Response | None:
        """The door's own answer; None: go in."""
        if request.headers.getlist("host") != [self._host]:
            return _refusal(f"this server is http://{self._host} and answers to no other name", 421)
        if request.method not in READING and request.headers.getlist("origin") != [
            f"http://{self._host}"
        ]:
            return _refusal("only the page itself may change anything", 403)
        known = _same(request.cookies.get(self._cookie), self._session)
        if TOKEN in request.query_params:
            return self._exchange(request.query_params[TOKEN], known)
        if not known:
            return _refusal(
                "open the address that gdshare label --serve printed, with its token; it works "
                "once, in one browser",
                401,
            )
        return None

    def _exchange(self, token: str, known: bool) -> Response:
        if not known and not _same(token, self._token):
            return _refusal(
                "this address is wrong or was used before; stop gdshare label --serve (Ctrl-C), "
                "start it again and open the address it prints then",
                403,
            )
        answer = RedirectResponse("/", 303)
        if not known:
            self._token = None
            answer.set_cookie(
                self._cookie, self._session, path="/", httponly=True, samesite="strict"
            )
        return answer


def _same(told: str | None, secret: str | None) -> bool:
    """Compare in a time that tells nothing."""
    if told is None or secret is None:
        return False
    return secrets.compare_digest(told.encode(), secret.encode())


def _refusal(reason: str, status: int) -> Response:
    return PlainTextResponse(f"gdshare: {reason}\n", status)


def _with_headers(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = [(name.encode(), value.encode()) for name, value in HEADERS]
            message = {**message, "headers": [*message.get("headers", ()), *own]}
        await send(message)

    return sending
