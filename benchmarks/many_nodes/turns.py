"""At most so many at a time on this machine, by locks of files that a process's end gives up."""

import fcntl
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_S = 0.2


@contextmanager
def turn(folder: Path, most: int) -> Iterator[None]:
    """Wait until fewer than ``most`` processes are in such a block, then be one of them.

    Args:
        folder: of the locks, the same for all; must exist.
        most: at least 1.
    """
    while (lock := _taken(folder, most)) is None:
        time.sleep(random.uniform(POLL_S / 2, POLL_S))  # noqa: S311 - spreads the next tries
    try:
        yield
    finally:
        os.close(lock)


def _taken(folder: Path, most: int) -> int | None:
    """The descriptor of a lock that was free; None: all are taken."""
    for number in range(most):
        descriptor = os.open(folder / f"{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            return descriptor
    return None
