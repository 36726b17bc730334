"""Quoting text from films and annotation files in messages.

The text is untrusted: control characters are escaped, so that it cannot steer a terminal, and it is
cut short. Letters of any script stay readable, since organs are named in the hospital's language.
(``gdshare.signing.errors.quoted`` is stricter: ASCII only.)
"""

MAX_CHARACTERS = 60
MAX_ERROR_CHARACTERS = 120


def printable(text: str) -> str:
    """Quote a text, cut to ``MAX_CHARACTERS``."""
    return repr(text if len(text) <= MAX_CHARACTERS else text[:MAX_CHARACTERS] + "...")


def brief(error: Exception) -> str:
    """The class and message of a library's error, which may quote a damaged file at length."""
    return repr(f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARACTERS])[1:-1]
