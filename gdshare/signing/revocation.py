"""A hospital takes its key back: a revocation, signed with the very key.

It can be made beforehand and kept apart, for the day when the key is lost. A thief who holds the
key can make one too; so all it can do is end that key.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.signing.keys import fingerprint
from gdshare.signing.names import HOUR, format_hour
from gdshare.signing.self_signed import Kind, hear, say

REVOCATION = Kind(
    "a revocation",
    "https://gdshare/revocation/v1",
    {"made": HOUR, "why": re.compile(r"[ -~]{1,300}")},
)


@dataclass(frozen=True)
class Revocation:
    """A sound one.

    Attributes:
        fingerprint: of the key that says so, and that is to be believed no more.
        made: to the hour, in its holder's words.
        why: printable ASCII, 300 characters at most, in its holder's words.
    """

    fingerprint: str
    made: str
    why: str


def write_revocation(key: ec.EllipticCurvePrivateKey, why: str, now: datetime) -> bytes:
    """Say that a key is to be believed no more.

    Args:
        key: that.
        why: the reason, printable ASCII, 300 characters at most.
        now: the site's clock, UTC.

    Raises:
        KeyFileError: a reason that cannot stand there.
    """
    return say(REVOCATION, {"made": format_hour(now), "why": why}, key)


def read_revocation(data: bytes, where: str) -> Revocation:
    """Read a revocation from a stranger.

    Raises:
        KeyFileError: too large, malformed, altered, or not signed with the key it is about.
    """
    told, key = hear(REVOCATION, data, where)
    return Revocation(fingerprint(key), told["made"], told["why"])
