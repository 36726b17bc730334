"""Reading a bundle's folder from a stranger: bounded, no links, nothing beyond the six files."""

import os
from collections.abc import Collection
from pathlib import Path

from gdshare import plain_files
from gdshare.bundle.errors import NotAPlainFile, UnreadableBundle
from gdshare.bundle.layout import BOUNDS, check_complete, check_name, check_size
from gdshare.plain_files import NotPlainError, TooLargeError
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
        return plain_files.read_plain(path, bound, follow=False)
    except NotPlainError:
        raise _not_plain(path.name) from None
    except TooLargeError:
        raise Oversized(
            f"{path} has more than the {bound} bytes that it may have", remedy="check the path"
        ) from None
    except OSError as fault:
        raise UnreadableBundle(
            f"{path} cannot be read ({fault.strerror})", remedy="check the path"
        ) from None


def _checked(name: str, expected: Collection[str]) -> str:
    check_name(name, expected)
    return name


def _read_file(path: Path, name: str) -> bytes:
    try:
        with plain_files.open_plain(path, follow=False) as stream:
            check_size(name, os.fstat(stream.fileno()).st_size)
            content = stream.read(BOUNDS[name] + 1)
    except NotPlainError:
        raise _not_plain(name) from None
    check_size(name, len(content))
    return content


def _not_plain(name: str) -> NotAPlainFile:
    return NotAPlainFile(
        f"{name} is a link, a folder or a device instead of a plain file",
        remedy="copy the bundle's own files",
    )
