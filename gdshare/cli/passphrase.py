"""Reading a key's passphrase: from a file, the environment, or the keyboard."""

import os
import sys
from pathlib import Path

import typer

from gdshare.cli.terminal import ask
from gdshare.errors import KeyFileError

VARIABLE = "GDSHARE_PASSPHRASE"
MAX_BYTES = 4096

PASSPHRASE_FILE = typer.Option(
    None,
    "--passphrase-file",
    help="File with the passphrase; a trailing newline is ignored. Default: the environment "
    f"variable {VARIABLE}, or else ask.",
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
        KeyFileError: the file cannot be read, or nobody can be asked.
    """
    if file is not None:
        try:
            with file.open("rb") as stream:
                content = stream.read(MAX_BYTES)
        except OSError as fault:
            raise KeyFileError(
                f"cannot be read ({fault.strerror})",
                file,
                "give the file of the passphrase",
            ) from None
        return content.removesuffix(b"\n").removesuffix(b"\r")
    if VARIABLE in os.environ:
        return os.fsencode(os.environ[VARIABLE])
    if not has_terminal():
        raise KeyFileError(
            "there is no terminal to ask for the passphrase",
            remedy=f"give --passphrase-file, or set {VARIABLE}",
        )
    return ask(f"Passphrase of {key_name}", hidden=True, twice=confirm).encode()
