"""Writing so that a reader never meets half a file, half a folder or half a line.

Files and folders are written beside their destination, flushed to the disk and then renamed over
it. The folder above is flushed too: after a crash, a rename that only the cache knew of is lost.

::

    write_bytes(path, content)                 # a file: whole or not at all
    with replacing(path) as stream: ...        # the same, written piece by piece
    with new_folder(path) as folder: ...       # a folder of files: whole or not at all
    append(path, line)                         # a line at the end of a log

What is replaced keeps its owner, group and mode. What is new follows the umask; in a folder with
the setgid bit that its group may write, the group gets what the owner has.
"""

import errno
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from gdshare.errors import UsageError
from gdshare.open_flags import BINARY, NO_FOLLOW

_SHARED = stat.S_ISGID | stat.S_IWGRP
_ACCESS_LIST = "system.posix_acl_access"
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


def is_shared(folder: Path) -> bool:
    """Whether a group shares a folder: it has the setgid bit, and its group may write."""
    return folder.stat().st_mode & _SHARED == _SHARED


def own_mode(folder: Path, mode: int = 0o600) -> int:
    """Permission bits of what only the folder's people may read: its owner, or those who share it.

    Args:
        folder: what it will lie in.
        mode: the owner's bits.
    """
    return mode | mode >> 3 if is_shared(folder) else mode


@contextmanager
def replacing(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of ``path`` only if the block ends without error.

    A file that is replaced passes on its owner, group, access list and mode, as far as the system
    allows; nobody may read the new one who could not read the old one.

    Args:
        path: the destination; its folder must exist.
        mode: the permission bits of a file that was not there before, less the umask; in a folder
            that a group shares, the group then gets the owner's. For the owner alone: 0o600.

    Raises:
        OSError: the folder is missing, not writable, or the disk is full.
    """
    before = _replaced(path)
    aside = _aside(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW | BINARY
    descriptor = os.open(aside, flags, mode if before is None else 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            if before is None:
                _share(stream.fileno(), aside, mode)
            else:
                _keep_access(stream.fileno(), aside, path, before)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            aside.unlink()
        raise
    sync_folder(path.parent)


def _aside(path: Path) -> Path:
    """A name beside ``path`` that nobody else uses."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def _replaced(path: Path) -> os.stat_result | None:
    """The file that is about to be replaced; None for a link, whose own mode means nothing."""
    with suppress(FileNotFoundError):
        status = path.lstat()
        return None if stat.S_ISLNK(status.st_mode) else status
    return None


def _share(descriptor: int, path: Path, mode: int) -> None:
    """Give the owner's bits to the group that shares the folder, whatever the umask."""
    if mode & 0o070 and is_shared(path.parent):
        bits = stat.S_IMODE(os.fstat(descriptor).st_mode)
        set_mode(descriptor, path, bits | (bits & 0o700) >> 3)


def _keep_access(descriptor: int, aside: Path, path: Path, before: os.stat_result) -> None:
    """Give the new file the old one's owner, group, access list and mode.

    Where its group or its list cannot be kept, the group keeps only what everybody may do: the
    same bits would now be another group's.
    """
    mode = before.st_mode & 0o777
    if not (_keep_owner(descriptor, before) and _keep_list(descriptor, path)):
        mode = mode & ~0o070 | (mode & 0o007) << 3
    set_mode(descriptor, aside, mode)


def _keep_owner(target: int | Path, before: os.stat_result) -> bool:
    """Whether the group could be kept; the owner changes unless root replaces the file."""
    if not hasattr(os, "chown"):  # Windows
        return True
    for owner in (before.st_uid, -1):
        with suppress(OSError):
            os.chown(target, owner, before.st_gid)
            return True
    return False


def _keep_list(descriptor: int, path: Path) -> bool:
    """Whether there was no access list, or it could be kept."""
    if not hasattr(os, "getxattr"):  # not Linux
        return True
    try:
        rights = os.getxattr(path, _ACCESS_LIST, follow_symlinks=False)
    except OSError:  # none, or a file system without them
        return True
    with suppress(OSError):
        os.setxattr(descriptor, _ACCESS_LIST, rights)
        return True
    return False


def write_bytes(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write ``content`` to ``path`` whole or not at all; see ``replacing``."""
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


def make_folder(path: Path) -> None:
    """Make a folder and those above it, if missing; see ``replacing`` for who may use it."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    _share_folder(path)


def _share_folder(path: Path) -> None:
    if is_shared(path.parent):
        bits = stat.S_IMODE(path.stat().st_mode)
        path.chmod(bits | (bits & 0o700) >> 3)


@contextmanager
def new_folder(path: Path, mode: int = 0o777) -> Iterator[Path]:
    """Make a folder that appears with all its files, flushed to the disk, or not at all.

    Args:
        path: the destination: not there yet, or an empty folder. Folders above it are made.
        mode: its permission bits, less the umask; as in ``replacing``, a group that shares the
            folder above shares it and all that is in it, unless only the owner has bits. An empty
            folder passes on its own. Until it is complete only its owner may read it.

    Yields:
        the folder to write into, beside ``path`` under a name that begins with a dot.

    Raises:
        FileExistsError: something is there already, or appeared before the block ended.
        OSError: the folder cannot be made or written, or the disk is full.
    """
    _require_free(path)
    make_folder(path.parent)
    aside = _aside(path)
    aside.mkdir(mode)
    bits = _folder_bits(aside, path, mode)
    aside.chmod(bits & ~0o077)
    try:
        yield aside
        if bits & _SHARED == _SHARED:
            _share_tree(aside)
        _sync_tree(aside)
        aside.chmod(bits)
        _take_the_place_of(path, aside)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    sync_folder(path.parent)


def _folder_bits(aside: Path, path: Path, mode: int) -> int:
    """The permission bits of a new folder: an empty one's that it replaces, or its own."""
    if path.is_dir():
        before = path.stat()
        kept = _keep_owner(aside, before)
        bits = stat.S_IMODE(before.st_mode)
        return bits if kept else bits & ~0o070 | (bits & 0o007) << 3
    bits = stat.S_IMODE(aside.stat().st_mode)
    return bits | (bits & 0o700) >> 3 if mode & 0o070 and is_shared(path.parent) else bits


def _share_tree(folder: Path) -> None:
    for above, folders, names in os.walk(folder):
        for name in (*folders, *names):
            bits = stat.S_IMODE((Path(above) / name).stat().st_mode)
            (Path(above) / name).chmod(bits | (bits & 0o700) >> 3)


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


def append(path: Path, line: bytes, length: int | None = None, mode: int = 0o666) -> None:
    """Add a line to the end of a file; it is on the disk when this returns.

    Args:
        path: the file, made if missing; its folder must exist.
        line: the bytes to add, line end included.
        length: how many bytes of the file to keep first: cuts off the part of a line that a kill
            left. None: all of them.
        mode: the permission bits of a file that is made; see ``replacing``.

    Raises:
        OSError: the file cannot be written, or the disk is full.
    """
    is_new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | BINARY, mode)
    try:
        if is_new:
            _share(descriptor, path, mode)
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
