"""One reader and writer at a time: a lock on a file, with a time limit, that names its holder."""

import errno
import getpass
import os
import platform
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from gdshare.errors import LockedError
from gdshare.plain_files import read_plain
from gdshare.storage import own_mode

MAX_BYTES = 4096
TIMEOUT_S = 60.0
"""Whoever holds a lock reads, changes and writes a file, and computes nothing meanwhile."""


def lock_beside(path: Path) -> Path:
    """The lock file of a file or folder: ``.NAME.lock`` beside it."""
    return path.with_name(f".{path.name}.lock")


@contextmanager
def lock(path: Path, timeout_s: float = TIMEOUT_S) -> Iterator[None]:
    """Keep other threads and processes out until the block ends; a kill leaves no lock behind.

    Args:
        path: the lock file: made if missing, for the owner or for the group that shares its
            folder, and never deleted. It names who locked it last.
        timeout_s: how long to wait for it, in seconds; 0: not at all.

    Raises:
        LockedError: still locked after that time; names who locked it.
        OSError: its folder is missing, or the lock file cannot be made or opened for writing.
    """
    if not path.parent.is_dir():  # filelock would make it, and a mistyped path would pass
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
    guard = FileLock(path, mode=_mode(path), fallback_to_soft=False, on_acquired=_sign_in)
    try:
        guard.acquire(timeout=timeout_s)
    except Timeout:
        raise LockedError(
            f"locked by {_holder(path)}", path, "wait until that has ended, or stop it"
        ) from None
    try:
        yield
    finally:
        guard.release()


def _mode(path: Path) -> int:
    """The permission bits to lock with, which filelock sets each time: those it has already."""
    with suppress(FileNotFoundError):
        return stat.S_IMODE(path.lstat().st_mode) & 0o777 | 0o600
    return own_mode(path.parent)


def _sign_in(descriptor: int) -> None:
    """Write the holder into the open lock file: never by its name, which may be swapped."""
    with suppress(OSError):  # a full disk: locked all the same
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, _myself().encode("utf-8", "replace"))


def _myself() -> str:
    now = datetime.now(UTC)
    host = platform.node() or "this machine"
    user = ""
    with suppress(KeyError, OSError):  # an account without a name
        user = f" of {getpass.getuser()}"
    return f"process {os.getpid()}{user} on {host}, since {now:%Y-%m-%d %H:%M:%S} UTC"


def _holder(path: Path) -> str:
    """Who wrote the lock file; another user's may be unreadable."""
    try:
        text = read_plain(path, MAX_BYTES).decode("utf-8", "replace")[:300].strip()
    except OSError:
        text = ""
    return "".join(c if c.isprintable() else " " for c in text) or "another process"
