"""Ctrl-C as a request: the work ends after the current step, and a second one ends it at once."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import typer


@contextmanager
def asked_to_stop(say: bool) -> Iterator[Callable[[], bool]]:
    """While the block runs, take SIGINT and SIGTERM as requests; yields what asks for one.

    Args:
        say: tell people on stderr that the request was heard.
    """
    heard = False

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        if heard:
            raise KeyboardInterrupt
        heard = True
        if say:
            typer.echo("\nstopping after this step; Ctrl-C again to stop at once", err=True)

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
