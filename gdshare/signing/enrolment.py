"""A hospital asks an aggregator to trust its key: an enrolment request, signed with that key.

The signature shows that the sender holds the key, not who the sender is: for that, the fingerprint
is read out over the phone. When a key replaces an older one, the request also holds the older key's
signature on the succession. That is a hint and no more, since the older key may have been stolen.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.errors import KeyFileError
from gdshare.signing.keys import fingerprint
from gdshare.signing.names import HOUR, SITE, format_hour
from gdshare.signing.self_signed import Kind, sign_fields, verify_fields

_NAME = re.compile(SITE)
REQUEST = Kind(
    "an enrolment request",
    "https://gdshare/enrolment/v1",
    {"site": _NAME, "made": HOUR, "vouched": re.compile(r"[A-Za-z0-9+/=]{0,8192}")},
)
SUCCESSION = Kind(
    "a key's statement on its successor",
    "https://gdshare/succession/v1",
    {"site": _NAME, "next": re.compile(r"[0-9a-f]{64}")},
)


@dataclass(frozen=True)
class EnrolmentRequest:
    """A verified request. The sender's identity is not yet confirmed.

    Attributes:
        site: the hospital's short name, as the sender gives it.
        key: the key to trust; the sender holds its private half.
        made: the hour, as the sender gives it.
        vouched_by: an older key that signed the succession, if there is one.
    """

    site: str
    key: ec.EllipticCurvePublicKey
    made: str
    vouched_by: ec.EllipticCurvePublicKey | None


def write_request(
    site: str,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    older: ec.EllipticCurvePrivateKey | None = None,
) -> bytes:
    """Ask for a key to be trusted as a site's.

    Args:
        site: the hospital's short name.
        key: the key to trust.
        now: the site's clock, UTC.
        older: the key that ``key`` replaces; vouches for it.

    Raises:
        KeyFileError: not a site's name.
    """
    voucher = b""
    if older is not None:
        succession = {"site": site, "next": fingerprint(key.public_key())}
        voucher = sign_fields(SUCCESSION, succession, older)
    fields = {
        "site": site,
        "made": format_hour(now),
        "vouched": base64.b64encode(voucher).decode("ascii"),
    }
    return sign_fields(REQUEST, fields, key)


def read_request(data: bytes, where: str) -> EnrolmentRequest:
    """Read a request from a stranger.

    Raises:
        KeyFileError: too large, malformed, altered, or not signed with the key in it; or the older
            key's statement in it is about another key or site.
    """
    fields, key = verify_fields(REQUEST, data, where)
    older = _voucher(fields, key, where)
    return EnrolmentRequest(fields["site"], key, fields["made"], older)


def _voucher(
    fields: Mapping[str, str], key: ec.EllipticCurvePublicKey, where: str
) -> ec.EllipticCurvePublicKey | None:
    if not fields["vouched"]:
        return None
    inner = f"the older key's statement in {where}"
    try:
        data = base64.b64decode(fields["vouched"], validate=True)
    except ValueError:
        raise KeyFileError(
            f"{inner} is not base64",
            remedy="have the request made again with `gdshare keys rotate`",
        ) from None
    succession, older = verify_fields(SUCCESSION, data, inner)
    if succession != {"site": fields["site"], "next": fingerprint(key)}:
        raise KeyFileError(
            f"{inner} is about another key or another site than the request",
            remedy="ask the hospital who put it there",
        )
    return older
