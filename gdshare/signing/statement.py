"""The signed statement: the one reader and writer of everything gdshare signs.

A signed file is an in-toto Statement v1 (https://in-toto.io/Statement/v1) in an ``envelope``. Its
subject is the bundle or the key it speaks of, named by a SHA-256; its predicate type says what
kind of statement it is, so that no kind passes for another; its predicate is the content::

    statement = Statement("gdshare-bundle", digest, "https://gdshare/receipt/v1", {"site": "tokyo"})
    data = sign_statement(statement, private_key)
    assert verify_statement(data, public_key, "tokyo-1.receipt", 4096) == statement

Reading checks, in this order: size, form of the envelope, key, signature, form of the statement.
Subject, type and content are the caller's to check: it builds the statement that it expects, and
``canonical.require_same`` compares the two byte for byte.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.signing import canonical
from gdshare.signing.envelope import Envelope, check_signature, read_envelope, sign
from gdshare.signing.errors import SEND_AGAIN, MalformedSignature, Oversized
from gdshare.signing.keys import parse_public_key
from gdshare.signing.names import HEX_DIGEST

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"


@dataclass(frozen=True)
class Statement:
    """What is signed.

    Attributes:
        subject: the kind of thing it speaks of, such as ``gdshare-bundle``.
        digest: that thing's SHA-256, 64 lower-case hex digits.
        predicate_type: a URI that names the kind of statement.
        predicate: the content, JSON values in the order they are written.
    """

    subject: str
    digest: str
    predicate_type: str
    predicate: Mapping[str, Any]

    def to_bytes(self) -> bytes:
        """Write it in its one form (``canonical.compact``)."""
        return canonical.compact(
            {
                "_type": STATEMENT_TYPE,
                "subject": [{"name": self.subject, "digest": {"sha256": self.digest}}],
                "predicateType": self.predicate_type,
                "predicate": dict(self.predicate),
            }
        )


def sign_statement(statement: Statement, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Sign a statement; equal statements and keys give equal bytes."""
    return sign(statement.to_bytes(), key).to_bytes()


def signer_of(data: bytes, where: str, max_bytes: int) -> str:
    """The fingerprint of the key that a file claims to be signed with; nothing is verified.

    Raises:
        BundleError: too large, or not a signed file.
    """
    return _envelope(data, where, max_bytes).hint


def verify_statement(
    data: bytes, key: ec.EllipticCurvePublicKey, where: str, max_bytes: int
) -> Statement:
    """Read a file that must be signed with ``key``.

    Args:
        data: the file, from a stranger.
        key: whoever must have signed it.
        where: the file's name, for messages.
        max_bytes: a larger file is refused before anything is parsed.

    Raises:
        Oversized, MalformedSignature, NotCanonical, WrongKey, BadSignature: what their names say.
    """
    envelope = _envelope(data, where, max_bytes)
    check_signature(envelope, key, where)
    return read_statement(envelope.payload, f"the statement in {where}")


def verify_self_signed(
    data: bytes, where: str, max_bytes: int
) -> tuple[Statement, ec.EllipticCurvePublicKey]:
    """Read a file that is signed with the key that it names itself (PEM, ``key`` in the predicate).

    The signature shows that its writer holds that key, not who the writer is.

    Raises:
        BundleError: as ``verify_statement``.
        KeyFileError: the key in it is not a P-256 public key.
    """
    envelope = _envelope(data, where, max_bytes)
    statement = read_statement(envelope.payload, f"the statement in {where}")
    pem = statement.predicate.get("key")
    if not isinstance(pem, str):
        raise MalformedSignature(f"the statement in {where} names no key", remedy=SEND_AGAIN)
    key = parse_public_key(pem.encode("utf-8", "replace"), where)
    check_signature(envelope, key, where)
    return statement, key


def read_statement(payload: bytes, where: str) -> Statement:
    """Read a statement; whether the signature over it is good is not checked here.

    Args:
        payload: the signed bytes.
        where: what to call them in a message.

    Raises:
        MalformedSignature: not a statement.
        NotCanonical: a key that is repeated, unknown or out of order, a second subject, or other
            spacing.
    """
    value = canonical.parse(payload, where, MalformedSignature)
    try:
        subject = value["subject"][0]
        statement = Statement(
            subject["name"], subject["digest"]["sha256"], value["predicateType"], value["predicate"]
        )
        if not isinstance(statement.predicate, dict) or not HEX_DIGEST.fullmatch(statement.digest):
            raise TypeError
    except (KeyError, IndexError, TypeError):
        raise MalformedSignature(
            f"{where} is not an in-toto statement", remedy=SEND_AGAIN
        ) from None
    try:
        written = statement.to_bytes()
    except (ValueError, RecursionError):  # an infinite number, or nesting too deep to write
        raise MalformedSignature(f"{where} cannot be written again", remedy=SEND_AGAIN) from None
    canonical.require_same(payload, written, where)
    return statement


def _envelope(data: bytes, where: str, max_bytes: int) -> Envelope:
    if len(data) > max_bytes:
        raise Oversized(
            f"{where} has {len(data)} bytes where {max_bytes} are allowed", remedy=SEND_AGAIN
        )
    return read_envelope(data, where)
