"""Who runs a command, as records name people."""

import getpass
import os


def operator_name(by: str | None = None) -> str:
    """The name given by ``--by``, else the login name, else the user's number.

    A container often runs under a number that has no login name.
    """
    if by:
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"
