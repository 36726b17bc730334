"""A hospital ends the trust in its key: a revocation, signed with that very key.

It can be made in advance and kept apart, for the day the key is lost. A thief who holds the key can
make one too; all it can do is end that key.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.signing.keys import fingerprint
from gdshare.signing.names import HOUR, format_hour
from gdshare.signing.self_signed import Kind, sign_fields, verify_fields

REVOCATION = Kind(
    "a revocation",
    "https://gdshare/revocation/v1",
    {"made": HOUR, "why": re.compile(r"[ -~]{1,300}")},
)


@dataclass(frozen=True)
class Revocation:
    """A verified revocation.

    Attributes:
        fingerprint: of the key that is no longer to be trusted.
        made: the hour, as its holder wrote it.
        why: the holder's reason, printable ASCII, 300 characters at most.
    """

    fingerprint: str
    made: str
    why: str


def write_revocation(key: ec.EllipticCurvePrivateKey, why: str, now: datetime) -> bytes:
    """Revoke a key.

    Args:
        key: the key to revoke; signs its own revocation.
        why: the reason, printable ASCII, 300 characters at most.
        now: the site's clock, UTC.

    Raises:
        KeyFileError: a reason that is not allowed.
    """
    return sign_fields(REVOCATION, {"made": format_hour(now), "why": why}, key)


def read_revocation(data: bytes, where: str) -> Revocation:
    """Read a revocation from a stranger.

    Raises:
        KeyFileError: too large, malformed, altered, or not signed with the key it is about.
    """
    fields, key = verify_fields(REVOCATION, data, where)
    return Revocation(fingerprint(key), fields["made"], fields["why"])
