"""The two requests an aggregator may send to a hospital, and their answers, as plain values.

This module and ``round_app`` are all that the two sides share; it knows neither Flower nor files.
A request or an answer is a flat mapping from names to numbers, text, bytes and lists of integers,
which Flower carries as one record. Its reader treats it as a stranger's.

``query.collect``
    has no fields. Answered by the files of one bundle, name -> bytes, and of the hospital's
    withdrawals, ``SITE-SEQUENCE.withdrawal`` -> bytes; either may be missing.
``evaluate.counts``
    holds the bundles to train a model from (or its weights, which few hospitals accept) and names
    the films to classify: validation films, counted at every threshold, or test films, counted at
    one. Answered by counts of films, in which no cell holds a few, and by
    how few (``suppression``).

Either may be answered by ``{"refused": reason}`` with a reason from ``Reason``: a word from a list,
never a message from the hospital's machine, which could contain a path or a name.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from itertools import pairwise
from typing import Literal, Self

from pydantic import ValidationError

from gdshare.bundle.layout import BOUNDS, SIGNATURE
from gdshare.errors import FederationError
from gdshare.metrics import THRESHOLDS, Confusion
from gdshare.protocol import MAX_ENSEMBLE, Protocol
from gdshare.suppression import LARGEST, merged

COLLECT = "collect"
COUNTS = "counts"
REFUSED = "refused"
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
    BUNDLES_REFUSED = "bundles-refused"
    NO_TRUST_LIST = "no-trust-list"
    TEST_ALREADY_COUNTED = "test-already-counted"
    TEST_BUDGET_SPENT = "test-budget-spent"
    VALIDATION_BUDGET_SPENT = "validation-budget-spent"
    OTHER_APP = "other-app"
    QUESTION_TOO_LARGE = "question-too-large"
    TIME_LIMIT = "time-limit"
    DAILY_LIMIT = "daily-limit"
    FAULT = "fault"


class RequestError(FederationError):
    """A request or an answer that is not of the agreed form."""


@dataclass(frozen=True)
class Recipe:
    """How to train a model, so that a hospital need not take somebody's word for it.

    Attributes:
        pooling: how each network is trained from the bundles, as in ``gdshare.pooling``.
        seed: decides every θ0.
        ensemble: how many networks.
        bundles: the files of each, name -> content.
    """

    pooling: str
    seed: int
    ensemble: int
    bundles: Sequence[Mapping[str, bytes]]

    def to_fields(self) -> dict[str, Value]:
        """The fields to send; a file's name begins with its bundle's place: ``0/gdshare.json``."""
        files: dict[str, Value] = {
            f"{place}/{name}": content
            for place, bundle in enumerate(self.bundles)
            for name, content in bundle.items()
        }
        settings: dict[str, Value] = {
            "pooling": self.pooling,
            "seed": self.seed,
            "ensemble": self.ensemble,
        }
        return settings | files


@dataclass(frozen=True)
class CountRequest:
    """``evaluate.counts``.

    Attributes:
        network: the name of the model's network.
        protocol: the patches it was trained on.
        model: how it is trained, or its weights, safetensors.
        epsilon: None for validation films at all of ``THRESHOLDS``; one of ``THRESHOLDS`` for test
            films, which are counted at that ε only.
    """

    network: str
    protocol: Protocol
    model: Recipe | bytes
    epsilon: float | None = None

    @property
    def split(self) -> Literal["val", "test"]:
        """The split whose films are counted."""
        return "val" if self.epsilon is None else "test"

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The ε at which films are counted."""
        return THRESHOLDS if self.epsilon is None else (self.epsilon,)

    def to_fields(self) -> dict[str, Value]:
        """The fields to send."""
        fields: dict[str, Value] = {
            "what": self.split,
            "network": self.network,
            "protocol": self.protocol.model_dump_json(),
            **({"model": self.model} if isinstance(self.model, bytes) else self.model.to_fields()),
        }
        return fields if self.epsilon is None else {**fields, "epsilon": self.epsilon}

    @classmethod
    def from_fields(cls, received: Fields) -> Self:
        """Read a request from a stranger; neither weights nor bundles are read here.

        Raises:
            RequestError: a field missing, unknown, of another type or out of range.
        """
        what = _text(received, "what")
        if what not in ("val", "test"):
            raise RequestError(
                "the request names neither val nor test", remedy="ask for one of them"
            )
        names = _model_fields(received)
        expected = {"what", "network", "protocol", *names} | ({"epsilon"} & set(received))
        if set(received) != expected or (what == "test") != ("epsilon" in received):
            raise RequestError(
                "the request has other fields than agreed", remedy="use the same gdshare"
            )
        try:
            protocol = Protocol.model_validate_json(_text(received, "protocol"))
        except ValidationError as error:
            raise RequestError(
                "the patch protocol is not valid", remedy="send the agreed one"
            ) from error
        return cls(_text(received, "network"), protocol, _model(received), _epsilon(received))


def fit_one_request(bundles: Sequence[Mapping[str, bytes]]) -> bool:
    """Whether a recipe of these bundles, file name -> content, may be sent."""
    size = sum(len(content) for files in bundles for content in files.values())
    return len(bundles) <= MAX_BUNDLES and size <= MAX_RECIPE_BYTES


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


@dataclass(frozen=True)
class Counts:
    """The answer to ``evaluate.counts``.

    Attributes:
        confusions: at each threshold, with no cell of a few films.
        suppress_below: fewer films than this are a few.
        noise: the largest standard deviation of noise on a count, in films; 0: there is none.
    """

    confusions: Sequence[Confusion]
    suppress_below: int = 1
    noise: float = 0.0


def counts_to_fields(counts: Counts) -> dict[str, Value]:
    """The fields to send: for each kind of count, one integer per threshold."""
    columns: dict[str, Value] = {
        kind.name: [getattr(confusion, kind.name) for confusion in counts.confusions]
        for kind in fields(Confusion)
    }
    return {**columns, SUPPRESS_BELOW: counts.suppress_below, NOISE: counts.noise}


def counts_from_fields(received: Fields, thresholds: int) -> Counts:
    """Read counts from a stranger.

    Args:
        received: the answer.
        thresholds: number of ε in the request.

    Raises:
        RequestError: other fields than agreed, not that many integers, out of range, or counts
            that no set of films can have.
    """
    kinds = [kind.name for kind in fields(Confusion)]
    if set(received) != {*kinds, SUPPRESS_BELOW, NOISE}:
        raise RequestError(
            "the counts have other fields than agreed", remedy="use the same gdshare"
        )
    k = received[SUPPRESS_BELOW]
    if type(k) is not int or not 1 <= k <= LARGEST:
        raise RequestError(
            f"{SUPPRESS_BELOW} is not an integer from 1 to {LARGEST}", remedy="use the same gdshare"
        )
    noise = received[NOISE]
    if not isinstance(noise, float) or not 0 <= noise <= MAX_COUNT:
        raise RequestError(f"{NOISE} is not a number of films", remedy="use the same gdshare")
    columns = [_integers(received[name], thresholds) for name in kinds]
    confusions = [Confusion(*row) for row in zip(*columns, strict=True)]
    if not _consistent(confusions, k):
        raise RequestError(
            "the counts contradict one another", remedy="ask the hospital to check its node"
        )
    return Counts(confusions, k, noise)


def _consistent(confusions: Sequence[Confusion], k: int) -> bool:
    """The same films at every ε, fewer called positive as ε rises, indeterminate ones negative;
    and no cell of a few.
    """
    totals = {
        (c.tp + c.fn, c.tn + c.fp, c.indeterminate_positive, c.indeterminate_negative)
        for c in confusions
    }
    falling = all(
        later.tp <= earlier.tp and later.fp <= earlier.fp for earlier, later in pairwise(confusions)
    )
    inside = all(
        c.indeterminate_positive <= c.fn and c.indeterminate_negative <= c.tn for c in confusions
    )
    sent = all(merged(confusion, k) == confusion for confusion in confusions)
    return len(totals) == 1 and falling and inside and sent


def _bundles(received: Fields) -> int:
    """How many bundles there are, by their signatures."""
    return sum(name.endswith(f"/{SIGNATURE}") for name in received)


def _model_fields(received: Fields) -> set[str]:
    """The fields by which a model is given: its weights, or bundles and settings."""
    if "model" in received:
        return {"model"}
    places = range(min(_bundles(received), MAX_BUNDLES))
    return {"pooling", "seed", "ensemble"} | {f"{n}/{name}" for n in places for name in BOUNDS}


def _model(received: Fields) -> Recipe | bytes:
    if "model" in received:
        return _bytes(received["model"])
    bundles = [
        {name: _bytes(received[f"{place}/{name}"]) for name in BOUNDS}
        for place in range(_bundles(received))
    ]
    if not bundles:
        raise RequestError("neither bundles nor a model", remedy="send one of them")
    if not fit_one_request(bundles):
        raise RequestError(
            f"the bundles have more than {MAX_RECIPE_BYTES:,} bytes", remedy="send weights"
        )
    seed, ensemble = received["seed"], received["ensemble"]
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise RequestError("the seed is not an integer from 0", remedy="use the same gdshare")
    if type(ensemble) is not int or not 1 <= ensemble <= MAX_ENSEMBLE:
        raise RequestError(
            f"the ensemble is not one of 1 to {MAX_ENSEMBLE} networks", remedy="train fewer"
        )
    return Recipe(_text(received, "pooling"), seed, ensemble, bundles)


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise RequestError("a file is not bytes", remedy="send its content")
    return value


def _integers(value: object, length: int) -> list[int]:
    if not isinstance(value, list) or len(value) != length:
        raise RequestError(
            f"a count is not a list of {length} integers", remedy="use the same gdshare"
        )
    whole = [item for item in value if type(item) is int and 0 <= item <= MAX_COUNT]
    if len(whole) != length:
        raise RequestError("a count is not an integer in range", remedy="use the same gdshare")
    return whole


def _text(received: Fields, name: str) -> str:
    value = received.get(name)
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise RequestError(
            f"the field {name} is missing or not a short text", remedy="use the same gdshare"
        )
    return value


def _epsilon(received: Fields) -> float | None:
    if "epsilon" not in received:
        return None
    value = received["epsilon"]
    if not isinstance(value, float) or not math.isfinite(value) or value not in THRESHOLDS:
        raise RequestError("ε is not one of 0, 0.05, ..., 1", remedy="ask for one of them")
    return value
