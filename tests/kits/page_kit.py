"""The outlining page's server in memory or in a thread, and what asks it."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Thread

import httpx
import uvicorn

from gdshare.label_page.auth import Door
from gdshare.label_page.server import Page, label_app
from gdshare.protocol import Protocol
from gdshare.store.folder import Store

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
HOST = "127.0.0.1:8123"
HOME = f"http://{HOST}"


class Visitor:
    """A client with its cookies, that follows no redirect."""

    def __init__(self, store: Store, protocol: Protocol) -> None:
        door = Door(
            label_app(Page(store, protocol, lambda: NOW, "R. Adiographer")),
            HOST,
            "the-token",
            "the-session",
        )
        transport = httpx.ASGITransport(door)
        self._client = httpx.AsyncClient(transport=transport, base_url=HOME)

    @property
    def cookies(self) -> httpx.Cookies:
        return self._client.cookies

    def ask(self, method: str, path: str, **told: object) -> httpx.Response:
        return asyncio.run(self._client.request(method, path, **told))

    def get(self, path: str, **told: object) -> httpx.Response:
        return self.ask("GET", path, **told)


def visitor(store: Store, protocol: Protocol) -> Visitor:
    """One who opened the printed address."""
    inside = Visitor(store, protocol)
    inside.get("/?token=the-token")
    return inside


@contextmanager
def served_here(store: Store, protocol: Protocol) -> Iterator[str]:
    """Serve a real browser from a thread of this process; yields the address to open."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        door = Door(
            label_app(Page(store, protocol, lambda: NOW, "R. Adiographer")),
            host,
            "the-token",
            "the-session",
        )
        config = uvicorn.Config(door, http="h11", ws="none", lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://{host}/?token=the-token"
        finally:
            server.should_exit = True
            thread.join()
