"""Running the outlining page on this machine."""

from collections.abc import Callable
from datetime import UTC, datetime

from gdshare.label_page.server import Api, label_app
from gdshare.local_page.serving import serve_page
from gdshare.protocol import Protocol
from gdshare.store.folder import Store

COMMAND = "gdshare label --serve"


def serve(
    store: Store, protocol: Protocol, reviewer: str, port: int, announce: Callable[[str], None]
) -> None:
    """Serve the page until Ctrl-C or SIGTERM; see ``serve_page``.

    Args:
        store: the films' store.
        protocol: of the windows.
        reviewer: default name of the reviewer on the page.
        port, announce: see ``serve_page``.

    Raises:
        UsageError: the port is taken.
    """
    api = Api(store, protocol, lambda: datetime.now(UTC), reviewer)
    serve_page(lambda end: label_app(api), COMMAND, port, announce)
