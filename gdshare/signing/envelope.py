"""``bundle.sig``: a Sigstore bundle v0.3 holding a DSSE envelope, signed with ECDSA P-256.

The outer JSON is not itself signed, so nothing in it may be free: a key's fingerprint, a payload
and a signature are read out, the file is written again from these three, and must be the same. Of
the two valid signatures (r, s) and (r, n - s), only the one with the lower s is accepted.
"""

import base64
import re
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256

from gdshare.signing import canonical
from gdshare.signing.errors import (
    SEND_AGAIN,
    BadSignature,
    MalformedSignature,
    NotCanonical,
    WrongKey,
)
from gdshare.signing.keys import fingerprint

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
HINT = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class Envelope:
    """The three values in a signed file.

    Attributes:
        hint: the signing key's fingerprint, 64 lower-case hex digits.
        payload: the statement's bytes.
        signature: DER of an ECDSA signature over ``pre_authentication(payload)``.
    """

    hint: str
    payload: bytes
    signature: bytes

    def to_bytes(self) -> bytes:
        """Write the file in its one form (``canonical.compact``)."""
        return canonical.compact(
            {
                "mediaType": MEDIA_TYPE,
                "verificationMaterial": {"publicKey": {"hint": self.hint}, "tlogEntries": []},
                "dsseEnvelope": {
                    "payload": base64.b64encode(self.payload).decode("ascii"),
                    "payloadType": PAYLOAD_TYPE,
                    "signatures": [
                        {"sig": base64.b64encode(self.signature).decode("ascii"), "keyid": ""}
                    ],
                },
            }
        )


def pre_authentication(payload: bytes) -> bytes:
    """Encode type and payload into the bytes that DSSE signs (PAE, DSSE protocol v1)."""
    kind = PAYLOAD_TYPE.encode("ascii")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _from_json(value: Any) -> Envelope:
    """Take the three values out of parsed JSON; any other structure raises."""
    hint = value["verificationMaterial"]["publicKey"]["hint"]
    envelope = value["dsseEnvelope"]
    if not HINT.fullmatch(hint):
        raise ValueError("the hint is not a SHA-256")
    return Envelope(
        hint=hint,
        payload=base64.b64decode(envelope["payload"], validate=True),
        signature=base64.b64decode(envelope["signatures"][0]["sig"], validate=True),
    )


def read_envelope(data: bytes, where: str) -> Envelope:
    """Read a signed file; says nothing yet about whether the signature is good.

    Args:
        data: the file, already within its size bound.
        where: the file's name, for messages.

    Raises:
        MalformedSignature: not JSON, or not a Sigstore bundle with a DSSE envelope and a key hint.
        NotCanonical: unknown or repeated keys, several signatures, other base64 or spacing, a
            signature in other than its shortest DER form or with the higher s.
    """
    value = canonical.parse(data, where, MalformedSignature)
    try:
        envelope = _from_json(value)
    except (KeyError, TypeError, IndexError, ValueError):
        raise MalformedSignature(
            f"{where} is not a Sigstore bundle with a key hint and a signed statement",
            remedy=SEND_AGAIN,
        ) from None
    canonical.require_same(data, envelope.to_bytes(), where)
    _check_one_form(envelope.signature, where)
    return envelope


def _check_one_form(signature: bytes, where: str) -> None:
    try:
        r, s = decode_dss_signature(signature)
    except ValueError:
        raise MalformedSignature(
            f"the signature in {where} is not an ECDSA signature", remedy=SEND_AGAIN
        ) from None
    if not (0 < r < P256_ORDER and 0 < s < P256_ORDER):
        raise MalformedSignature(
            f"the signature in {where} has numbers beyond the curve P-256", remedy=SEND_AGAIN
        )
    if s > P256_ORDER // 2 or encode_dss_signature(r, s) != signature:
        raise NotCanonical(
            f"the signature in {where} is not in the one form the format allows "
            "(shortest DER, lower s)",
            remedy=SEND_AGAIN,
        )


def sign(payload: bytes, key: ec.EllipticCurvePrivateKey) -> Envelope:
    """Sign a statement. The nonce is derived from key and message (RFC 6979), not drawn:

    equal content and key give equal bytes, and the nonce leaves no room to smuggle anything out.
    """
    scheme = ec.ECDSA(SHA256(), deterministic_signing=True)
    r, s = decode_dss_signature(key.sign(pre_authentication(payload), scheme))
    signature = encode_dss_signature(r, min(s, P256_ORDER - s))
    return Envelope(fingerprint(key.public_key()), payload, signature)


def check_signature(envelope: Envelope, key: ec.EllipticCurvePublicKey, where: str) -> None:
    """Refuse an envelope that this key did not sign.

    Raises:
        WrongKey: the envelope names another key.
        BadSignature: it names this key, but the signature does not fit.
    """
    if envelope.hint != fingerprint(key):
        raise WrongKey(
            f"{where} was made with the key {envelope.hint[:16]}..., not with "
            f"{fingerprint(key)[:16]}...",
            remedy="check it against the right hospital's public key",
        )
    try:
        key.verify(envelope.signature, pre_authentication(envelope.payload), ec.ECDSA(SHA256()))
    except InvalidSignature:
        raise BadSignature(
            f"the signature in {where} does not fit the statement it signs", remedy=SEND_AGAIN
        ) from None
