"""The outlining page's server, in memory or in a thread, and a client for it."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Thread

import httpx
from starlette.types import ASGIApp

from gdshare.label_page.serve import COMMAND
from gdshare.label_page.server import Api, label_app
from gdshare.local_page.auth import AuthMiddleware
from gdshare.local_page.connections import LIMITS, ConnectionLimits
from gdshare.local_page.serving import server_of
from gdshare.protocol import Protocol
from gdshare.store.folder import Store

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
HOST = "127.0.0.1:8123"
HOME = f"http://{HOST}"


def protected_app(store: Store, protocol: Protocol, host: str) -> AuthMiddleware:
    api = Api(store, protocol, lambda: NOW, "R. Adiographer")
    return AuthMiddleware(label_app(api), host, "the-token", "the-session", COMMAND)


class AppVisitor:
    """A client of any page, with cookies, which follows no redirects."""

    def __init__(self, app: ASGIApp) -> None:
        transport = httpx.ASGITransport(app)
        self._client = httpx.AsyncClient(transport=transport, base_url=HOME)

    @property
    def cookies(self) -> httpx.Cookies:
        return self._client.cookies

    def request(self, method: str, path: str, **options: object) -> httpx.Response:
        return asyncio.run(self._client.request(method, path, **options))

    def get(self, path: str, **options: object) -> httpx.Response:
        return self.request("GET", path, **options)


class Visitor(AppVisitor):
    """A client of the outlining page."""

    def __init__(self, store: Store, protocol: Protocol) -> None:
        super().__init__(protected_app(store, protocol, HOST))


def visitor(store: Store, protocol: Protocol) -> Visitor:
    """A client that has opened the printed address."""
    client = Visitor(store, protocol)
    client.get("/?token=the-token")
    return client


@contextmanager
def serve_in_thread(
    store: Store, protocol: Protocol, limits: ConnectionLimits = LIMITS
) -> Iterator[str]:
    """Serve a real browser from a thread; yields the address to open."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        app = protected_app(store, protocol, host)
        server = server_of(app, limits)
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://{host}/?token=the-token"
        finally:
            server.should_exit = True
            thread.join()
