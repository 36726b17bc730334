"""Reading a bundle's folder from a stranger: bounded, no links, nothing beyond the six files."""

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gdshare.bundle.errors import NotAPlainFile, UnreadableBundle
from gdshare.bundle.layout import BOUNDS, check_complete, check_name, check_size
from gdshare.open_flags import NO_FOLLOW, NO_WAIT
from gdshare.signing.errors import Oversized


def read_folder(path: Path, expected: Collection[str] = BOUNDS.keys()) -> dict[str, bytes]:
    """Read a bundle's six files into memory; never more than the sum of their bounds.

    Links are not followed, subfolders not entered, and a file that grows while it is read is
    refused. The content is for ``verify_files`` to check.

    Args:
        path: the bundle's folder.
        expected: the names of the files it must hold, and no other.

    Returns:
        file name -> content.

    Raises:
        UnreadableBundle: not a folder, or not readable.
        ExtraFile, NotAPlainFile, Oversized, MissingFile: what their names say.
    """
    try:
        with os.scandir(path) as entries:
            names = [_checked(entry.name, expected) for entry in entries]
        files = {name: _read_file(path / name, name) for name in sorted(names)}
    except OSError as fault:
        raise UnreadableBundle(
            f"{path} cannot be read as a bundle ({fault.strerror})",
            remedy="give the path of a bundle's folder",
        ) from None
    check_complete(files, expected)
    return files


def read_plain(path: Path, bound: int) -> bytes:
    """Read one small file from outside a bundle, such as a withdrawal.

    Args:
        path: the file; a link is not followed.
        bound: its largest size, in bytes.

    Raises:
        UnreadableBundle: not there, or not readable.
        NotAPlainFile, Oversized: what their names say.
    """
    try:
        with _opened(path, path.name) as stream:
            content = stream.read(bound + 1)
    except OSError as fault:
        raise UnreadableBundle(
            f"{path} cannot be read ({fault.strerror})", remedy="check the path"
        ) from None
    if len(content) > bound:
        raise Oversized(
            f"{path} has more than the {bound} bytes that it may have", remedy="check the path"
        )
    return content


def _checked(name: str, expected: Collection[str]) -> str:
    check_name(name, expected)
    return name


def _read_file(path: Path, name: str) -> bytes:
    with _opened(path, name) as stream:
        check_size(name, os.fstat(stream.fileno()).st_size)
        content = stream.read(BOUNDS[name] + 1)
    check_size(name, len(content))
    return content


@contextmanager
def _opened(path: Path, name: str) -> Iterator[BinaryIO]:
    if not stat.S_ISREG(path.lstat().st_mode):
        raise _not_plain(name)
    # The check above gives the clear message; these flags hold if the entry is swapped after it.
    descriptor = os.open(path, os.O_RDONLY | NO_FOLLOW | NO_WAIT)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise _not_plain(name)
        yield stream


def _not_plain(name: str) -> NotAPlainFile:
    return NotAPlainFile(
        f"{name} is a link, a folder or a device instead of a plain file",
        remedy="copy the bundle's own files",
    )
