"""Reading a key's passphrase: from a file, the environment, or the keyboard."""

import os
import sys
from pathlib import Path

import typer

from gdshare.cli.terminal import ask
from gdshare.errors import KeyFileError
from gdshare.secret_files import ExposedError, read_secret_line
from gdshare.signing.keys import LONGEST_PASSPHRASE

VARIABLE = "GDSHARE_PASSPHRASE"

PASSPHRASE_FILE = typer.Option(
    None,
    "--passphrase-file",
    help="File with the passphrase, mode 600; a trailing newline is ignored. Default: the "
    f"environment variable {VARIABLE}, or else ask.",
)


def has_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def read_passphrase(
    file: Path | None, *, confirm: bool, key_name: str = "the signing key"
) -> bytes:
    """Read the passphrase, which never appears on the command line.

    Args:
        file: read if given; a trailing newline is dropped.
        confirm: at the keyboard, ask twice.
        key_name: for the question.

    Raises:
        KeyFileError: the file cannot be read, or others may read it too; or nobody can be asked.
    """
    if file is not None:
        try:
            return read_secret_line(file, LONGEST_PASSPHRASE)
        except ExposedError as fault:
            raise KeyFileError(fault.what, file, fault.remedy) from None
        except OSError as fault:
            raise KeyFileError(
                f"cannot be read ({fault.strerror})",
                file,
                "give the file of the passphrase",
            ) from None
    if VARIABLE in os.environ:
        return os.fsencode(os.environ[VARIABLE])
    if not has_terminal():
        raise KeyFileError(
            "there is no terminal to ask for the passphrase",
            remedy=f"give --passphrase-file, or set {VARIABLE}",
        )
    return ask(f"Passphrase of {key_name}", hidden=True, twice=confirm).encode()
