"""``evaluate.counts``: counting a hospital's own films with a model."""

import hashlib
import math
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import ValidationError

from gdshare.messages.recipe import Recipe
from gdshare.messages.words import Fields, RequestError, Value, bytes_in, digest_in, text_in
from gdshare.metrics import THRESHOLDS
from gdshare.protocol import Protocol

WEIGHTS = "model"
NAMED = "model-digest"


@dataclass(frozen=True)
class CountRequest:
    """``evaluate.counts``.

    Attributes:
        network: the name of the model's network.
        protocol: the patches it was trained on.
        model: how it is trained, or its weights, safetensors; or the digest by which an earlier
            request's model is known (``model_digest``).
        epsilon: None for validation films at all of ``THRESHOLDS``; one of ``THRESHOLDS`` for test
            films, which are counted at that ε only.
    """

    network: str
    protocol: Protocol
    model: Recipe | bytes | str
    epsilon: float | None = None

    @property
    def split(self) -> Literal["val", "test"]:
        """The split whose films are counted."""
        return "val" if self.epsilon is None else "test"

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The ε at which films are counted."""
        return THRESHOLDS if self.epsilon is None else (self.epsilon,)

    @property
    def model_digest(self) -> str:
        """The digest that names the model to a hospital that was asked about it before.

        Of a recipe, ``Recipe.digest``; of weights, SHA-256 of their bytes.
        """
        if isinstance(self.model, Recipe):
            return self.model.digest(self.network, self.protocol)
        return self.model if isinstance(self.model, str) else hashlib.sha256(self.model).hexdigest()

    def to_fields(self) -> dict[str, Value]:
        """The fields to send."""
        fields: dict[str, Value] = {
            "what": self.split,
            "network": self.network,
            "protocol": self.protocol.model_dump_json(),
            **_fields_of(self.model),
        }
        return fields if self.epsilon is None else {**fields, "epsilon": self.epsilon}

    @classmethod
    def from_fields(cls, received: Fields) -> Self:
        """Read a request from a stranger; neither weights nor bundles are opened here.

        Raises:
            RequestError: a field missing, unknown, of another type or out of range.
        """
        what = text_in(received, "what")
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
            protocol = Protocol.model_validate_json(text_in(received, "protocol"))
        except ValidationError as error:
            raise RequestError(
                "the patch protocol is not valid", remedy="send the agreed one"
            ) from error
        return cls(text_in(received, "network"), protocol, _model(received), _epsilon(received))


def _fields_of(model: Recipe | bytes | str) -> dict[str, Value]:
    if isinstance(model, Recipe):
        return model.to_fields()
    return {NAMED: model} if isinstance(model, str) else {WEIGHTS: model}


def _model_fields(received: Fields) -> set[str]:
    """The fields by which a model is given: its weights, its digest, or bundles and settings."""
    for name in (WEIGHTS, NAMED):
        if name in received:
            return {name}
    return Recipe.field_names(received)


def _model(received: Fields) -> Recipe | bytes | str:
    if WEIGHTS in received:
        return bytes_in(received, WEIGHTS)
    if NAMED in received:
        return digest_in(received, NAMED)
    return Recipe.from_fields(received)


def _epsilon(received: Fields) -> float | None:
    if "epsilon" not in received:
        return None
    value = received["epsilon"]
    if not isinstance(value, float) or not math.isfinite(value) or value not in THRESHOLDS:
        raise RequestError("ε is not one of 0, 0.05, ..., 1", remedy="ask for one of them")
    return value
