"""A deadline for a whole response, whatever the program is waiting for.

The timeouts of requests and urllib3 are for each single read: a server that sends a byte now and
then, of its TLS handshake, its headers, the length of a chunk or a body, is waited for for ever.
Here a timer shuts the socket down when the deadline passes, which ends any read at once.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from gdshare.store.pacs.errors import ASK_ADMINISTRATOR, DeadlineError


class Deadline:
    """The deadline of one request at a time, over connections that are opened one at a time."""

    def __init__(self) -> None:
        """Nothing is open, and no deadline runs."""
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._timer: threading.Timer | None = None
        self._seconds, self._passed = 0.0, False

    def start(self, seconds: float) -> None:
        """Begin a deadline; it replaces the one before."""
        timer = threading.Timer(seconds, lambda: self._pass(timer))
        timer.daemon = True
        with self._lock:
            self._cancel()
            self._timer, self._seconds, self._passed = timer, seconds, False
        timer.start()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Read inside the block; what it reads may be cut short where the deadline passed.

        Raises:
            DeadlineError: it passed, whatever else went wrong.
        """
        try:
            yield
        finally:
            if self._passed:
                raise DeadlineError(
                    f"takes longer than {self._seconds:g} s for one response",
                    remedy=ASK_ADMINISTRATOR,
                )

    def stop(self) -> None:
        """End the deadline, kept or not."""
        with self._lock:
            self._cancel()

    def guard(self, opened: socket.socket) -> socket.socket:
        """Shut this connection down when the deadline passes."""
        with self._lock:
            self._cut()
            self._socket = opened.dup()  # TLS takes ``opened`` itself apart
            if self._passed:
                self._cut()
        return opened

    def close(self) -> None:
        """Shut the connection down, and end the deadline."""
        with self._lock:
            self._cancel()
            self._cut()

    def _pass(self, timer: threading.Timer) -> None:
        with self._lock:
            if self._timer is timer:
                self._passed = True
                self._cut()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # the other side was first
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None


def guarded_pools(deadline: Deadline) -> dict[str, type[HTTPConnectionPool]]:
    """urllib3's pools of connections by scheme, each connection guarded by the deadline."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return deadline.guard(super()._new_conn())

    class Encrypted(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return deadline.guard(super()._new_conn())

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}
