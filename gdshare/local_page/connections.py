"""Connections to the page: what any local user may open, and what that may cost the technologist.

Every user of this machine can open connections to a port of 127.0.0.1. A request must arrive whole,
headers and body, within a deadline, however its bytes are spread; between requests, uvicorn's own
keep-alive timeout holds. Of the connections without an admitted request only so many stay open: the
oldest gives way to the newest. So somebody who opens thousands closes his own, while the page's
connections, once admitted, stay, and a new one of the page is served before its turn to go comes.
"""

import asyncio
import itertools
from dataclasses import dataclass
from typing import Any, TypeGuard

import h11
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

CONNECTION = "connection"
"""In the ASGI scope's ``state``: this request's connection, for ``admit``."""

_number = itertools.count()


@dataclass(frozen=True)
class ConnectionLimits:
    """Bounds of what strangers may hold open.

    Attributes:
        strangers: connections without an admitted request.
        request_s: seconds in which a request must arrive.
    """

    strangers: int = 128
    request_s: float = 30.0


LIMITS = ConnectionLimits()


class BoundedConnection(H11Protocol):
    """uvicorn's connection, with a deadline for each request and a bound on strangers."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        limits: ConnectionLimits = LIMITS,
    ) -> None:
        """As uvicorn calls it, once for each connection."""
        super().__init__(config, server_state, {**app_state, CONNECTION: self}, _loop)
        self._limits = limits
        self._number = next(_number)
        self._deadline: asyncio.TimerHandle | None = None
        self._admitted = False

    def admit(self) -> None:
        """Keep this connection: it belongs to the browser that was given the address."""
        self._admitted = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._watch()
        strangers = [other for other in self.connections if _is_open_stranger(other)]
        if len(strangers) > self._limits.strangers:
            min(strangers, key=lambda other: other._number).transport.abort()

    def handle_events(self) -> None:
        """Called after each piece of a request, and after each response."""
        super().handle_events()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._unwatch()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Run the deadline while a request is awaited or incomplete."""
        state = self.conn.their_state
        begun = self.cycle is None or bool(self.conn.trailing_data[0])
        if state is not h11.SEND_BODY and not (state is h11.IDLE and begun):
            self._unwatch()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self._limits.request_s, self.transport.abort)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _is_open_stranger(connection: object) -> TypeGuard[BoundedConnection]:
    return (
        isinstance(connection, BoundedConnection)
        and not connection._admitted
        and not connection.transport.is_closing()
    )
