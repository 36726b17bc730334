"""Running a page on this machine until Ctrl-C, or until the page itself ends it."""

import asyncio
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from gdshare.errors import UsageError
from gdshare.local_page.auth import TOKEN, AuthMiddleware
from gdshare.local_page.connections import LIMITS, BoundedConnection, ConnectionLimits

ADDRESS = "127.0.0.1"
BACKLOG = 512
"""Connections that wait to be accepted, and that are accepted at a time: with those that are open,
fewer than the 1024 files that a process may usually open."""
KEEP_ALIVE_S = 120
GRACE_S = 2


def serve_page(
    app_with: Callable[[Callable[[], None]], ASGIApp],
    command: str,
    port: int,
    announce: Callable[[str], None],
) -> None:
    """Serve a page until it ends itself, Ctrl-C or SIGTERM. Nothing is left behind.

    Args:
        app_with: makes the page's application, without access control; it is given the function by
            which the page ends itself, after the response to the request in hand.
        command: that serves it, for refusals, such as ``gdshare label --serve``.
        port: to listen on; 0: any free port.
        announce: called with the address to open, including the token, once the port is open.

    Raises:
        UsageError: the port is taken.
    """
    with _listening(port) as listener:
        host = _host(listener.getsockname()[1])
        token, session = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        servers: list[uvicorn.Server] = []

        def end() -> None:
            servers[0].should_exit = True

        app = AuthMiddleware(app_with(end), host, token, session, command)
        servers.append(server_of(app))
        announce(f"http://{host}/?{TOKEN}={token}")
        with suppress(KeyboardInterrupt):  # raised again by uvicorn after its shutdown
            servers[0].run(sockets=[listener])


def server_of(app: ASGIApp, limits: ConnectionLimits = LIMITS) -> uvicorn.Server:
    """A server for a page, with bounds on what strangers may hold open."""
    config = uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", partial(BoundedConnection, limits=limits)),
        ws="none",
        lifespan="off",
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        log_config=None,
        log_level="error",  # a stranger's malformed request is no news
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    return uvicorn.Server(config)


def _host(port: int) -> str:
    """As browsers send it: without the default port."""
    return ADDRESS if port == 80 else f"{ADDRESS}:{port}"


def _listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"cannot be opened ({error.strerror})",
            f"--port {port}",
            "choose another port, or omit --port for any free one",
        ) from error
    return listener
