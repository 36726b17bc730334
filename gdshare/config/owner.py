"""Whose ``gdshare.toml`` is believed: one that nobody but its reader, or root, can write.

The file names the outbox that is released into and the key that is signed with. Whoever can write
it could have a person sign for another outbox than the one in front of that person's eyes.
"""

import os
import stat

from gdshare.errors import UsageError

ROOT = 0
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
"""The group bit is also the mask of an access list, if the file has one."""
ELSE = "give the options on the command line, or name a file of your own with --config-file"


def require_own(status: os.stat_result, where: object) -> None:
    """Refuse a file that other users can write.

    Args:
        status: of the open file.
        where: its path, for the error.

    Raises:
        UsageError: it belongs to another user, or its mode lets others write it. Not on Windows,
            where neither says who may write.
    """
    if hasattr(os, "geteuid"):
        refuse_foreign(status.st_uid, stat.S_IMODE(status.st_mode), os.geteuid(), where)


def refuse_foreign(owner: int, mode: int, reader: int, where: object) -> None:
    """The rule itself: ``owner`` and ``reader`` are user IDs, ``mode`` permission bits.

    Raises:
        UsageError: as ``require_own``.
    """
    if owner not in (reader, ROOT):
        raise UsageError(
            "belongs to another user, who could change what is read, signed and released",
            where,
            ELSE,
        )
    if mode & OTHERS_WRITE:
        raise UsageError(
            f"other users can write it (mode {mode:o}), and so change what is read, signed and "
            "released",
            where,
            "look at it, then chmod go-w it",
        )
