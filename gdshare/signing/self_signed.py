"""What a key says of itself, signed with itself: whoever wrote it held the private half.

The envelope of ``bundle.sig`` (DSSE, ECDSA on P-256) around an in-toto statement whose subject is
the key. What is said depends on the kind, its predicate type; no kind passes for another, nor for a
bundle's signature or an approval. Only texts are said, each within the pattern of its field.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.errors import BundleError, KeyFileError
from gdshare.signing import canonical
from gdshare.signing.envelope import Envelope, check_signature, read_envelope, sign
from gdshare.signing.errors import BadSignature, MalformedSignature, NotCanonical, WrongKey, quoted
from gdshare.signing.keys import fingerprint, parse_public_key, public_pem
from gdshare.signing.statement import STATEMENT_TYPE

SUBJECT = "gdshare-key"
MAX_BYTES = 16 * 1024


@dataclass(frozen=True)
class Kind:
    """A kind of statement.

    Attributes:
        name: for messages, such as ``an enrolment request``.
        predicate_type: in-toto's name of it.
        fields: name -> the pattern that its text matches whole; this is their order too.
    """

    name: str
    predicate_type: str
    fields: Mapping[str, re.Pattern[str]]


def say(kind: Kind, told: Mapping[str, str], key: ec.EllipticCurvePrivateKey) -> bytes:
    """Write a statement in its one form, and sign it.

    Raises:
        KeyFileError: a field that is not of this kind, or a text that it does not take.
    """
    _check_fields(kind, told)
    return sign(_statement(kind, told, key.public_key()), key).to_bytes()


def hear(
    kind: Kind, data: bytes, where: str
) -> tuple[Mapping[str, str], ec.EllipticCurvePublicKey]:
    """Read what a stranger wrote: size, form, key, signature, fields, in that order.

    Args:
        kind: what it must be.
        data: the file.
        where: what to call it in a message.

    Returns:
        field -> text, and the key that says so.

    Raises:
        KeyFileError: with the reason in one sentence; nothing of it is to be believed then.
    """
    if len(data) > MAX_BYTES:
        raise KeyFileError(f"{where} is too large to be {kind.name}", remedy="name the file itself")
    try:
        envelope = read_envelope(data, where)
        told = canonical.parse(envelope.payload, where, MalformedSignature)
        pem, fields = _dug(told, kind)
        key = parse_public_key(pem.encode("utf-8", "replace"), where)
        check_signature(envelope, key, where)
        _require_one_form(envelope, kind, fields, key)
    except (WrongKey, BadSignature):
        raise KeyFileError(
            f"{where} is not signed with the key it names: it was altered, or written "
            "by somebody who does not hold that key",
            remedy="ask the hospital for it again, and who passed it on",
        ) from None
    except NotCanonical:
        raise KeyFileError(
            f"{where} is not written in the one form that {kind.name} has",
            remedy="ask for it again",
        ) from None
    except (BundleError, KeyFileError):
        raise KeyFileError(
            f"{where} is not {kind.name}", remedy="give the file that `gdshare keys` wrote"
        ) from None
    _check_fields(kind, fields, where)
    return fields, key


def _dug(told: Any, kind: Kind) -> tuple[str, dict[str, str]]:
    """Key and fields of a parsed statement of this kind."""
    try:
        predicate = dict(told["predicate"])
        pem = predicate.pop("key")
        right = told["predicateType"] == kind.predicate_type
    except (KeyError, TypeError, ValueError):
        right = False
    if not right or not all(isinstance(one, str) for one in (pem, *predicate.values())):
        raise MalformedSignature("another kind of statement")
    return pem, predicate


def _require_one_form(
    envelope: Envelope, kind: Kind, fields: Mapping[str, str], key: ec.EllipticCurvePublicKey
) -> None:
    if envelope.payload != _statement(kind, fields, key) or list(fields) != list(kind.fields):
        raise NotCanonical("written in another way")


def _check_fields(kind: Kind, told: Mapping[str, str], where: str = "") -> None:
    for name, pattern in kind.fields.items():
        if pattern.fullmatch(told[name]) is None:
            raise KeyFileError(
                f"{quoted(told[name])} cannot stand as its {name}",
                where or kind.name,
                "see docs/bundle-format.md for what can",
            )


def _statement(kind: Kind, told: Mapping[str, str], key: ec.EllipticCurvePublicKey) -> bytes:
    return canonical.compact(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": SUBJECT, "digest": {"sha256": fingerprint(key)}}],
            "predicateType": kind.predicate_type,
            "predicate": dict(told) | {"key": public_pem(key).decode("ascii")},
        }
    )
