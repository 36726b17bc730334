"""Why a signed file is refused, and how a stranger's text may be quoted.

Each class is one reason and derives from ``gdshare.errors.BundleError``, so that a refusal can be
counted and acted on. A stranger's text (file names, values) enters a message through ``quoted``
only: escaped to ASCII and cut short, so that it cannot steer a terminal or fill a log.
"""

# ruff: noqa: N818 - the names are the reasons themselves, as they appear in verdicts and records.

from gdshare.errors import BundleError

SEND_AGAIN = "ask the hospital to publish and send it again"


def quoted(text: object) -> str:
    """Show a stranger's text safely: ASCII, escaped, its first 40 characters at most."""
    shown = str(text)
    return ascii(shown if len(shown) <= 40 else shown[:40] + "...")


class MalformedSignature(BundleError):
    """The signature file, or the statement in it, is not what the format describes."""


class NotCanonical(BundleError):
    """The content can be read but is not written in the one form the format allows."""


class WrongKey(BundleError):
    """Signed with another key than the one it is checked against."""


class BadSignature(BundleError):
    """The signature names this key but does not fit the statement."""


class Oversized(BundleError):
    """A file is larger than the format allows; nothing in it was parsed."""
