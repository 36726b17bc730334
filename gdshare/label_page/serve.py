"""Running the page's server on this machine until Ctrl-C."""

import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import uvicorn

from gdshare.errors import UsageError
from gdshare.label_page.door import TOKEN, Door
from gdshare.label_page.server import Page, label_app
from gdshare.protocol import Protocol
from gdshare.store.folder import Store

ADDRESS = "127.0.0.1"
WAITING = 64
GRACE_S = 2


def serve(
    store: Store, protocol: Protocol, reviewer: str, port: int, announce: Callable[[str], None]
) -> None:
    """Serve the page until somebody stops it (Ctrl-C or SIGTERM). Nothing is left behind.

    Args:
        store: of the films.
        protocol: of the grid.
        reviewer: who looks at held films, unless the page is told another name.
        port: to listen on; 0: any free one.
        announce: called with the address to open, token and all, once it can be opened.

    Raises:
        UsageError: the port is taken.
    """
    with _listening(port) as listener:
        host = _host(listener.getsockname()[1])
        token, session = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        app = Door(label_app(Page(store, protocol, _now, reviewer)), host, token, session)
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_S,
        )
        announce(f"http://{host}/?{TOKEN}={token}")
        with suppress(KeyboardInterrupt):  # uvicorn has shut down by then, and passes it on
            uvicorn.Server(config).run(sockets=[listener])


def _host(port: int) -> str:
    """As browsers name it, who leave out the port that http has anyway."""
    return ADDRESS if port == 80 else f"{ADDRESS}:{port}"


def _listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, port))
        listener.listen(WAITING)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"--port {port}: cannot be listened on ({error.strerror})",
            remedy="choose another, or leave it out for any free one",
        ) from error
    return listener


def _now() -> datetime:
    return datetime.now(UTC)
