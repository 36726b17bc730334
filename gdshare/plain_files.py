"""Reading files that somebody else may have put there: plain, bounded, and without waiting.

A pipe would keep its reader waiting for ever, a device would never end, and a link leads wherever
its maker likes. Every refusal is an ``OSError`` whose ``strerror`` says what is wrong, so that
callers report it as they report a file that cannot be read.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from gdshare.open_flags import BINARY, NO_FOLLOW, NO_TERMINAL, NO_WAIT

MAX_RECORD = 16 * 1024**2
"""Bytes of a record or of settings, more than any has."""
MAX_TABLE = 256 * 1024**2
"""Bytes of a table or of a log."""
MAX_TENSORS = 4 * 1024**3
"""Bytes of a run's or a training's own tensors."""


class NotPlainError(OSError):
    """A folder, a pipe, a device, or a link where links are not followed."""

    def __init__(self, path: Path) -> None:
        """Name the file."""
        super().__init__(errno.EINVAL, "not a plain file", str(path))


class TooLargeError(OSError):
    """More bytes than its reader allows."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Name the file and the bound."""
        super().__init__(errno.EFBIG, f"larger than {max_bytes} bytes", str(path))


def read_plain(path: Path, max_bytes: int, *, follow: bool = True) -> bytes:
    """Read a whole file.

    Args:
        path: the file.
        max_bytes: a larger file is refused, also one that grows while it is read.
        follow: whether ``path`` itself may be a link.

    Raises:
        NotPlainError, TooLargeError: what their names say.
        OSError: missing, or not readable.
    """
    with open_plain(path, follow=follow) as stream:
        return read_bounded(stream, path, max_bytes)


def read_bounded(stream: BufferedReader, path: Path, max_bytes: int) -> bytes:
    """Read all of an open file.

    Raises:
        TooLargeError: what its name says; nothing is read of a file that is too large already.
    """
    size = os.fstat(stream.fileno()).st_size
    if size > max_bytes:
        raise TooLargeError(path, max_bytes)
    content = stream.read(size)
    if more := stream.read(1):  # it grew meanwhile, or states no length
        content += more + stream.read(max_bytes - size)
    if len(content) > max_bytes:
        raise TooLargeError(path, max_bytes)
    return content


@contextmanager
def open_plain(path: Path, *, follow: bool = True) -> Iterator[BufferedReader]:
    """Open a file for reading; the reader bounds what it reads.

    Raises:
        NotPlainError: what its name says.
        OSError: missing, or not readable.
    """
    # Looked at before it is opened, since opening a device can act on it; and again afterwards,
    # since it may have been swapped in between. The flags keep that open from waiting.
    _require_plain(path, path.stat() if follow else path.lstat())
    flags = os.O_RDONLY | NO_WAIT | NO_TERMINAL | BINARY | (0 if follow else NO_FOLLOW)
    with os.fdopen(os.open(path, flags), "rb") as stream:
        _require_plain(path, os.fstat(stream.fileno()))
        yield stream


def require_plain(path: Path) -> None:
    """Refuse a file that cannot be opened as ``open_plain`` would, before another library opens it.

    Raises:
        OSError: as ``open_plain``.
    """
    with open_plain(path):
        pass


def _require_plain(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NotPlainError(path)
