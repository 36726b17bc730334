"""Ctrl-C as a request to stop after the current step; a second Ctrl-C stops at once."""

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

log = logging.getLogger(__name__)


@contextmanager
def stop_requests(announce: bool) -> Iterator[Callable[[], bool]]:
    """Treat SIGINT and SIGTERM as requests inside the block; yields whether there was a request.

    Args:
        announce: confirm the request on stderr.
    """
    requested = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        if requested:
            raise KeyboardInterrupt
        requested = True
        if announce:
            log.info("stopping as soon as possible; Ctrl-C again to stop at once")

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: requested
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
