"""JSON in one form only: strict reading, and two writers.

A value that can be written in two ways lets an attacker hide a bit, and makes a verifier compare
two forms. So whatever is read must equal what these writers would have written.
"""

import json
from typing import Any

from gdshare.errors import BundleError
from gdshare.signing.errors import SEND_AGAIN, NotCanonical, quoted


def pretty(value: object) -> bytes:
    """Write for people: UTF-8, keys sorted, indented by 2, one newline at the end."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def compact(value: object) -> bytes:
    """Write for machines: ASCII, keys in the order given, no white space, no newline."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


class _RepeatedKeyError(ValueError):
    """A JSON object has the same key twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        raise _RepeatedKeyError(quoted(next(key for key in keys if keys.count(key) > 1)))
    return value


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def parse(data: bytes, name: str, malformed: type[BundleError]) -> Any:
    """Read JSON without its traps: repeated keys, NaN, other encodings, bottomless nesting.

    Args:
        data: the file's bytes, already within the size bound.
        name: the file's name, for messages.
        malformed: what to raise when this is not JSON at all.

    Raises:
        NotCanonical: a key is repeated.
        BundleError: of the class ``malformed``.
    """
    try:
        return json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except _RepeatedKeyError as fault:
        raise NotCanonical(f"{name} has the key {fault} twice", remedy=SEND_AGAIN) from None
    except (ValueError, RecursionError) as fault:
        raise malformed(
            f"{name} is not readable JSON ({quoted(fault)})", remedy=SEND_AGAIN
        ) from None


def require_same(written: bytes, expected: bytes, name: str) -> None:
    """Refuse content that is not byte for byte what the canonical writer gives.

    Raises:
        NotCanonical: naming ``name``.
    """
    if written != expected:
        raise NotCanonical(
            f"{name} is not written in the one form the format allows (unknown keys, "
            "other spacing, order or spelling of values)",
            remedy=SEND_AGAIN,
        )
