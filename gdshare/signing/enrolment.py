"""A hospital asks to be believed: an enrolment request, signed with the very key it brings.

As NVFLARE's sites send theirs. The signature shows that the sender holds the key, not who the
sender is: that is heard over the phone. Where a key succeeds another, the older one's signature on
that stands in the request as well. It is worth a hint and no more, since a key may be stolen.
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
from gdshare.signing.self_signed import Kind, hear, say

_NAME = re.compile(SITE)
REQUEST = Kind(
    "an enrolment request",
    "https://gdshare/enrolment/v1",
    {"site": _NAME, "made": HOUR, "vouched": re.compile(r"[A-Za-z0-9+/=]{0,8192}")},
)
SUCCESSION = Kind(
    "a key's word for the next",
    "https://gdshare/succession/v1",
    {"site": _NAME, "next": re.compile(r"[0-9a-f]{64}")},
)


@dataclass(frozen=True)
class EnrolmentRequest:
    """A sound one; whose it is, is still to be heard.

    Attributes:
        site: the hospital's short name, in the sender's words.
        key: to be believed; the sender holds its private half.
        made: to the hour, in the sender's words.
        vouched_by: an older key that signed this succession, if there is one.
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
    """Ask for a key to be believed as a site's.

    Args:
        site: the hospital's short name.
        key: to be believed.
        now: the site's clock, UTC.
        older: vouches for ``key``, which succeeds it.

    Raises:
        KeyFileError: not a site's name.
    """
    vouched = b""
    if older is not None:
        vouched = say(SUCCESSION, {"site": site, "next": fingerprint(key.public_key())}, older)
    told = {
        "site": site,
        "made": format_hour(now),
        "vouched": base64.b64encode(vouched).decode("ascii"),
    }
    return say(REQUEST, told, key)


def read_request(data: bytes, where: str) -> EnrolmentRequest:
    """Read a request from a stranger.

    Raises:
        KeyFileError: too large, malformed, altered, or not signed with the key it brings; or the
            word of an older key in it is not for this key and site.
    """
    told, key = hear(REQUEST, data, where)
    return EnrolmentRequest(told["site"], key, told["made"], _voucher(told, key, where))


def _voucher(
    told: Mapping[str, str], key: ec.EllipticCurvePublicKey, where: str
) -> ec.EllipticCurvePublicKey | None:
    if not told["vouched"]:
        return None
    inner = f"the older key's word in {where}"
    try:
        word = base64.b64decode(told["vouched"], validate=True)
    except ValueError:
        raise KeyFileError(
            f"{inner} is not base64",
            remedy="have the request made again with `gdshare keys rotate`",
        ) from None
    vouched, older = hear(SUCCESSION, word, inner)
    if vouched != {"site": told["site"], "next": fingerprint(key)}:
        raise KeyFileError(
            f"{inner} is for another key or another site than the request",
            remedy="ask the hospital who put it there",
        )
    return older
