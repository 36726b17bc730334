"""The operator's name for ledgers and reviews."""

import getpass
import os


def operator_name(by: str | None = None) -> str:
    """The name from ``--by``, or the login name, or else the user ID.

    Containers often run under a user ID without a login name.
    """
    if by and by.strip():  # a ledger names nobody by a blank
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"
