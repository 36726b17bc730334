"""Text from films, file names and other people, made safe to print.

A terminal obeys control characters: a patient's name or a file name could retitle its window, hide
a line or write over one. Everything that gdshare prints or logs passes through ``escaped``. Letters
of any script stay readable, since hospitals name their files and organs in their own language.

Example::

    assert escaped("DOE\\x1b]0;owned\\x07") == r"DOE\\x1b]0;owned\\x07"
"""

import argparse
import json
import traceback
from typing import NoReturn


def escaped(text: object, keep: str = "") -> str:
    r"""Escape all that is not visible: control characters, marks of direction, newlines.

    Args:
        text: its ``str`` is escaped.
        keep: characters to leave alone, such as a newline in a text of several lines.

    Returns:
        the text, with an escape character as ``\x1b`` and a newline as ``\n``.
    """
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(
        character
        if character.isprintable() or character in keep
        else character.encode("unicode_escape").decode()
        for character in plain
    )


def escaped_json(value: object) -> str:
    """A JSON document in ASCII, without control characters in its strings."""
    return json.dumps(value, indent=2).replace("\x7f", r"\u007f") + "\n"


def escaped_traceback(error: BaseException) -> str:
    """The traceback of an error, indented, so that no line of it passes for a line of the log."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "\n".join(f"  {escaped(line)}" for line in lines)


class Parser(argparse.ArgumentParser):
    """``ArgumentParser`` whose errors quote the command line escaped."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and one error, and exit with status 2."""
        super().error(escaped(message))
