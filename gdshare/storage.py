"""Writing so that a reader never meets half a file, half a folder or half a line.

Files and folders are written beside their destination, flushed to the disk and then renamed over
it. The folder above is flushed too: after a crash, a rename that only the cache knew of is lost.

::

    write_bytes(path, content)                 # a file: whole or not at all
    with replacing(path) as stream: ...        # the same, written piece by piece
    with new_folder(path) as folder: ...       # a folder of files: whole or not at all
    append(path, line)                         # a line at the end of a log
"""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from gdshare.errors import UsageError
from gdshare.open_flags import BINARY

_TAKEN = {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}
_SHOWN = 40
"""Characters around a name in an error."""


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries (renames, new names) to the disk."""
    if os.name == "nt":  # Windows opens no folder, and flushes its entries with the file
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def set_mode(descriptor: int, path: Path, mode: int) -> None:
    """Set an open file's permission bits; by its name only where the system has no other way."""
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, mode)
    else:  # Windows before Python 3.13
        path.chmod(mode)


@contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of ``path`` only if the block ends without error.

    Args:
        path: the destination; its folder must exist.
        mode: the permission bits, set before the first byte is written.

    Raises:
        OSError: the folder is missing, not writable, or the disk is full.
    """
    descriptor, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            set_mode(stream.fileno(), Path(aside), mode)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(aside).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(aside).unlink()
        raise
    sync_folder(path.parent)


def write_bytes(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write ``content`` to ``path`` whole or not at all."""
    with replacing(path, mode) as stream:
        stream.write(content)


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented, key-sorted UTF-8 JSON, whole or not at all.

    Raises:
        UsageError: it has the name of a file that is not UTF-8.
    """
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    try:
        content = (text + "\n").encode()
    except UnicodeEncodeError as error:
        name = text[max(0, error.start - _SHOWN) : error.end + _SHOWN]
        raise UsageError(
            f"would contain a name that is not UTF-8, near {name!r}", path, "rename that file"
        ) from error
    write_bytes(path, content)


@contextmanager
def new_folder(path: Path, mode: int = 0o755) -> Iterator[Path]:
    """Make a folder that appears with all its files, flushed to the disk, or not at all.

    Args:
        path: the destination: not there yet, or an empty folder. Folders above it are made.
        mode: its permission bits; until it is complete only its owner may read it.

    Yields:
        the folder to write into, beside ``path`` under a name that begins with a dot.

    Raises:
        FileExistsError: something is there already, or appeared before the block ended.
        OSError: the folder cannot be made or written, or the disk is full.
    """
    _require_free(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield aside
        _sync_tree(aside)
        aside.chmod(mode)
        _take_the_place_of(path, aside)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    sync_folder(path.parent)


def _require_free(path: Path) -> None:
    if os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir())):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def _sync_tree(folder: Path) -> None:
    for above, _, names in os.walk(folder):
        for name in names:
            with (Path(above) / name).open("rb+") as stream:
                os.fsync(stream.fileno())
        sync_folder(Path(above))


def _take_the_place_of(path: Path, aside: Path) -> None:
    """Rename; a folder with content is never renamed over, so of two at once one succeeds."""
    with suppress(OSError):
        path.rmdir()  # an empty folder; Windows renames over none
    try:
        aside.rename(path)
    except OSError as error:
        if error.errno in _TAKEN:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        raise


def append(path: Path, line: bytes, length: int | None = None, mode: int = 0o644) -> None:
    """Add a line to the end of a file; it is on the disk when this returns.

    Args:
        path: the file, made if missing; its folder must exist.
        line: the bytes to add, line end included.
        length: how many bytes of the file to keep first: cuts off the part of a line that a kill
            left. None: all of them.
        mode: the permission bits of a file that is made.

    Raises:
        OSError: the file cannot be written, or the disk is full.
    """
    is_new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | BINARY, mode)
    try:
        if length is not None:
            os.ftruncate(descriptor, length)
        os.lseek(descriptor, 0, os.SEEK_END)
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        sync_folder(path.parent)
