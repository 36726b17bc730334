"""Writing files so that a reader never meets a half-written one.

Everything is written beside its destination, flushed to the disk, then renamed over it; the
folder itself is flushed too, since on a crash a rename that only the cache knew of is lost.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries (renames, new names) to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
        os.fchmod(descriptor, mode)
        with os.fdopen(descriptor, "wb") as stream:
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
    """Write ``value`` as indented, key-sorted UTF-8 JSON, whole or not at all."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())
