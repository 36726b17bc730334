"""The one reader of secrets: keys, passphrases, passwords, and the list that names patients.

A secret is a plain file that nobody but its owner may read; any other is refused.
"""

import errno
import os
import stat
from pathlib import Path

from gdshare.plain_files import open_plain, read_bounded


class ExposedError(OSError):
    """A secret that other users may read or change.

    Attributes:
        what, remedy: for the error that people see.
    """

    def __init__(self, path: Path, mode: int) -> None:
        """Name the file and its permission bits."""
        self.what = f"can be read by other users (mode {mode:o})"
        self.remedy = f"chmod 600 {path.name}, and change it if somebody may have copied it"
        super().__init__(errno.EACCES, self.what, str(path))


def read_secret(path: Path, max_bytes: int) -> bytes:
    """Read a secret.

    Raises:
        ExposedError, NotPlainError, TooLargeError: what their names say.
        OSError: missing, or not readable.
    """
    with open_plain(path) as stream:
        mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
        if os.name == "posix" and mode & 0o077:  # Windows keeps access elsewhere
            raise ExposedError(path, mode)
        return read_bounded(stream, path, max_bytes)


def read_secret_line(path: Path, max_bytes: int) -> bytes:
    """Read a secret that people type; a trailing newline is dropped.

    Raises:
        OSError: as ``read_secret``.
    """
    return read_secret(path, max_bytes + 2).removesuffix(b"\n").removesuffix(b"\r")
