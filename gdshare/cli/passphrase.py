"""Where a signing key's passphrase comes from: a file, the environment, or the keyboard."""

import os
import sys
from pathlib import Path

import typer

from gdshare.errors import KeyFileError

VARIABLE = "GDSHARE_PASSPHRASE"
LARGEST_FILE = 4096

PASSPHRASE_FILE = typer.Option(
    None,
    "--passphrase-file",
    help="File whose content is the passphrase (a newline at its end does not count). Without "
    f"it: the environment variable {VARIABLE}, and without that a question.",
)


def has_terminal() -> bool:
    """Whether anybody can be asked."""
    return sys.stdin.isatty()


def read_passphrase(file: Path | None, *, confirm: bool, what: str = "the signing key") -> bytes:
    """Get the passphrase without it ever standing on a command line.

    Args:
        file: read if given; a single line end at its end is dropped.
        confirm: at the keyboard, ask twice.
        what: it opens, for the question.

    Raises:
        KeyFileError: the file cannot be read, or there is nobody to ask.
    """
    if file is not None:
        try:
            with file.open("rb") as stream:
                content = stream.read(LARGEST_FILE)
        except OSError as fault:
            raise KeyFileError(
                f"{file} cannot be read ({fault.strerror})",
                remedy="give a file that holds the passphrase",
            ) from None
        return content.removesuffix(b"\n").removesuffix(b"\r")
    if VARIABLE in os.environ:
        return os.fsencode(os.environ[VARIABLE])
    if not has_terminal():
        raise KeyFileError(
            "there is no terminal to ask for the passphrase",
            remedy=f"give --passphrase-file, or set {VARIABLE}",
        )
    answer: str = typer.prompt(
        f"Passphrase of {what}", hide_input=True, confirmation_prompt=confirm, err=True
    )
    return answer.encode()
