"""The words of the wire, and the bounds of what a stranger may write."""

from collections.abc import Mapping
from enum import StrEnum

from gdshare.errors import FederationError
from gdshare.signing.names import HEX_DIGEST

COLLECT = "collect"
COUNTS = "counts"
PROGRESS = "progress"
REFUSED = "refused"
UNCHANGED = "unchanged"
REQUEST_RECORD = "question"
ANSWER_RECORD = "answer"
SUPPRESS_BELOW = "suppress_below"
NOISE = "noise"

MAX_BUNDLES = 1000
"""In one request: 23 MB of bundles of three images of 32 px."""
MAX_RECIPE_BYTES = 256 * 2**20
"""Of all bundles of a request together, as its sender sends and its receiver reads them; a node
takes no larger question (``hospital_node.superlink``)."""
MAX_WITHDRAWALS = 100
"""In one answer; a hospital releases a bundle or two per year."""
MAX_COUNT = 100_000
"""Of the films in one cell: what a stranger claims, the aggregator expands film by film."""
MAX_TEXT = 4096

Value = bool | int | float | str | bytes | list[int]
Fields = Mapping[str, object]
"""As received: names are text, values may be anything."""


class Reason(StrEnum):
    """Every reason for which a hospital may refuse to answer."""

    NOTHING_RELEASED = "nothing-released"
    OUTBOX_UNREADABLE = "outbox-unreadable"
    NODE_MISCONFIGURED = "node-misconfigured"
    QUESTION_MALFORMED = "question-malformed"
    NO_COHORT = "no-cohort"
    COHORT_UNREADABLE = "cohort-unreadable"
    TOO_FEW_FILMS = "too-few-films"
    PROTOCOL_DIFFERS = "protocol-differs"
    MODEL_REFUSED = "model-refused"
    MODEL_UNTIED = "model-untied"
    MODEL_UNKNOWN = "model-unknown"
    BUNDLES_REFUSED = "bundles-refused"
    BUNDLE_UNKNOWN = "bundle-unknown"
    NO_TRUST_LIST = "no-trust-list"
    TEST_ALREADY_COUNTED = "test-already-counted"
    TEST_BUDGET_SPENT = "test-budget-spent"
    VALIDATION_BUDGET_SPENT = "validation-budget-spent"
    OTHER_APP = "other-app"
    QUESTION_TOO_LARGE = "question-too-large"
    TIME_LIMIT = "time-limit"
    DAILY_LIMIT = "daily-limit"
    BUSY = "busy"
    FAULT = "fault"


class RequestError(FederationError):
    """A request or an answer that is not of the agreed form."""


def refusal(reason: Reason) -> dict[str, Value]:
    """The answer of a hospital that refuses."""
    return {REFUSED: reason.value}


def refusal_in(received: Fields) -> Reason | None:
    """The reason if this answer is a refusal; an unlisted word counts as ``FAULT``."""
    if REFUSED not in received:
        return None
    word = received[REFUSED]
    reasons = {reason.value: reason for reason in Reason}
    return reasons.get(word, Reason.FAULT) if isinstance(word, str) else Reason.FAULT


def text_in(received: Fields, name: str) -> str:
    """A field that must be a short text.

    Raises:
        RequestError: it is missing, no text, or too long.
    """
    value = received.get(name)
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise RequestError(
            f"the field {name} is missing or not a short text", remedy="use the same gdshare"
        )
    return value


def digest_in(received: Fields, name: str) -> str:
    """A field that must be a SHA-256, 64 lower-case hex digits.

    Raises:
        RequestError: it is missing, or anything else.
    """
    value = received.get(name)
    if not isinstance(value, str) or not HEX_DIGEST.fullmatch(value):
        raise RequestError(f"the field {name} is no SHA-256 digest", remedy="use the same gdshare")
    return value


def integer_in(received: Fields, name: str, most: int) -> int:
    """A field that must be an integer from 0 to ``most``.

    Raises:
        RequestError: it is missing, no integer, or out of range.
    """
    value = received.get(name)
    if type(value) is not int or not 0 <= value <= most:
        raise RequestError(
            f"the field {name} is no integer from 0 to {most}", remedy="use the same gdshare"
        )
    return value


def bytes_in(received: Fields, name: str) -> bytes:
    """A field that must be a file's content.

    Raises:
        RequestError: it is missing, or not bytes.
    """
    value = received.get(name)
    if not isinstance(value, bytes):
        raise RequestError("a file is not bytes", remedy="send its content")
    return value
