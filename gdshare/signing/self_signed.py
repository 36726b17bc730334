"""What a key says about itself, signed with that key: its writer holds the private half.

A ``statement`` whose subject is the key's fingerprint. The kinds differ by predicate type; none
passes for another, nor for a bundle's signature or an approval. Every field is a text that matches
the field's pattern.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.errors import BundleError, KeyFileError
from gdshare.signing import canonical
from gdshare.signing.errors import BadSignature, MalformedSignature, NotCanonical, WrongKey, quoted
from gdshare.signing.keys import fingerprint, public_pem
from gdshare.signing.statement import Statement, sign_statement, verify_self_signed

SUBJECT = "gdshare-key"
MAX_BYTES = 16 * 1024


@dataclass(frozen=True)
class Kind:
    """A kind of statement about a key.

    Attributes:
        name: for messages, such as ``an enrolment request``.
        predicate_type: its in-toto name.
        fields: name -> the pattern its text must match in full, in the order they are written.
    """

    name: str
    predicate_type: str
    fields: Mapping[str, re.Pattern[str]]


def sign_fields(kind: Kind, fields: Mapping[str, str], key: ec.EllipticCurvePrivateKey) -> bytes:
    """Write a statement about ``key`` in its one form and sign it with that key.

    Raises:
        KeyFileError: a text that its field does not allow.
    """
    _check_fields(kind, fields)
    return sign_statement(_statement(kind, fields, key.public_key()), key)


def verify_fields(
    kind: Kind, data: bytes, where: str
) -> tuple[Mapping[str, str], ec.EllipticCurvePublicKey]:
    """Read a stranger's file: size, form, key, signature, kind, fields, in that order.

    Args:
        kind: what it must be.
        data: the file.
        where: what to call it in a message.

    Returns:
        field -> text, and the key it is about.

    Raises:
        KeyFileError: with the reason in one sentence; nothing in the file can be believed then.
    """
    if len(data) > MAX_BYTES:
        raise KeyFileError(f"{where} is too large to be {kind.name}", remedy="name the file itself")
    try:
        statement, key = verify_self_signed(data, where, MAX_BYTES)
        fields = _fields(statement, kind)
        canonical.require_same(
            statement.to_bytes(), _statement(kind, fields, key).to_bytes(), where
        )
    except (WrongKey, BadSignature):
        raise KeyFileError(
            f"{where} is not signed with the key it names: it was altered, or written by somebody "
            "who does not hold that key",
            remedy="ask the hospital for it again, and who passed it on",
        ) from None
    except NotCanonical:
        raise KeyFileError(
            f"{where} is not written in the one form of {kind.name}", remedy="ask for it again"
        ) from None
    except (BundleError, KeyFileError):
        raise KeyFileError(
            f"{where} is not {kind.name}", remedy="give the file that `gdshare keys` wrote"
        ) from None
    _check_fields(kind, fields, where)
    return fields, key


def _fields(statement: Statement, kind: Kind) -> dict[str, str]:
    """The fields of a statement of this kind."""
    predicate = statement.predicate
    is_kind = (statement.subject, statement.predicate_type) == (SUBJECT, kind.predicate_type)
    if not is_kind or not all(isinstance(text, str) for text in predicate.values()):
        raise MalformedSignature("another kind of statement")
    if list(predicate) != [*kind.fields, "key"]:
        raise NotCanonical("other fields, or in another order")
    return {name: predicate[name] for name in kind.fields}


def _check_fields(kind: Kind, fields: Mapping[str, str], where: str = "") -> None:
    for name, pattern in kind.fields.items():
        if pattern.fullmatch(fields[name]) is None:
            raise KeyFileError(
                f"{where or kind.name}: {quoted(fields[name])} is not allowed as its {name}",
                remedy="see docs/bundle-format.md for what is",
            )


def _statement(kind: Kind, fields: Mapping[str, str], key: ec.EllipticCurvePublicKey) -> Statement:
    predicate = dict(fields) | {"key": public_pem(key).decode("ascii")}
    return Statement(SUBJECT, fingerprint(key), kind.predicate_type, predicate)
