"""Keeping other threads and processes out while something is read, changed and written."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(lock: Path, wait: bool = True) -> Iterator[None]:
    """Hold a file's lock; a kill leaves none behind.

    Args:
        lock: made if it is not there.
        wait: until it is free.

    Raises:
        BlockingIOError: it is not, and nobody wants to wait.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)
