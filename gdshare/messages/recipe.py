"""How a model is made: its bundles, each in full or by its digest, and how it is trained."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from gdshare.bundle.digests import digests_of, subject_digest
from gdshare.bundle.layout import BOUNDS, SIGNATURE
from gdshare.messages.words import (
    MAX_BUNDLES,
    MAX_RECIPE_BYTES,
    Fields,
    RequestError,
    Value,
    bytes_in,
    digest_in,
    integer_in,
    text_in,
)
from gdshare.protocol import MAX_ENSEMBLE, Protocol

SETTINGS = frozenset({"pooling", "seed", "ensemble"})
DIGEST = "digest"
FORMAT = "gdshare-recipe/1"

RecipeBundle = Mapping[str, bytes] | str
"""The files of a bundle, name -> content, or its digest, 64 lower-case hex digits."""


@dataclass(frozen=True)
class Recipe:
    """How to train a model, so that a hospital need not take somebody's word for it.

    Attributes:
        pooling: how each network is trained from the bundles, as in ``gdshare.pooling``.
        seed: decides every θ0.
        ensemble: how many networks.
        bundles: in order; a digest names one that the hospital was shown before.
    """

    pooling: str
    seed: int
    ensemble: int
    bundles: Sequence[RecipeBundle]

    @property
    def bundle_digests(self) -> tuple[str, ...]:
        """The digest of each bundle, as ``Bundle.digest``."""
        return tuple(_digest_of(bundle) for bundle in self.bundles)

    def digest(self, network: str, protocol: Protocol) -> str:
        """The name of the model that this makes: SHA-256 of all that decides it.

        The weights decide nothing here: their last digits differ from one processor to another.

        Args:
            network: the name of the model's network.
            protocol: the patches it is trained on.
        """
        parts = [
            FORMAT,
            self.pooling,
            self.seed,
            self.ensemble,
            network,
            protocol.model_dump_json(exclude=protocol.implied),
            *self.bundle_digests,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def to_fields(self) -> dict[str, Value]:
        """The fields to send; a file's name begins with its bundle's place: ``0/gdshare.json``.

        A bundle that is only named has one field, ``0/digest``.
        """
        settings: dict[str, Value] = {
            "pooling": self.pooling,
            "seed": self.seed,
            "ensemble": self.ensemble,
        }
        for place, bundle in enumerate(self.bundles):
            files = {DIGEST: bundle} if isinstance(bundle, str) else bundle
            settings |= {f"{place}/{name}": content for name, content in files.items()}
        return settings

    @staticmethod
    def field_names(received: Fields) -> set[str]:
        """The fields that a recipe with as many bundles as these would have."""
        names = set(SETTINGS)
        for place in range(min(_bundles(received), MAX_BUNDLES)):
            named = f"{place}/{DIGEST}"
            names |= {named} if named in received else {f"{place}/{name}" for name in BOUNDS}
        return names

    @classmethod
    def from_fields(cls, received: Fields) -> Self:
        """Read a stranger's, whose names are ``field_names``; no file is opened here.

        Raises:
            RequestError: no bundle, or a field of another type or out of range.
        """
        bundles = [_bundle(received, place) for place in range(_bundles(received))]
        if not bundles:
            raise RequestError("neither bundles nor a model", remedy="send one of them")
        if not fit_one_request(bundles):
            raise RequestError(
                f"the bundles have more than {MAX_RECIPE_BYTES:,} bytes", remedy="send weights"
            )
        seed = integer_in(received, "seed", 2**63 - 1)
        ensemble = integer_in(received, "ensemble", MAX_ENSEMBLE)
        if not ensemble:
            raise RequestError(
                f"the ensemble is not one of 1 to {MAX_ENSEMBLE} networks", remedy="train some"
            )
        return cls(text_in(received, "pooling"), seed, ensemble, bundles)


def fit_one_request(bundles: Sequence[RecipeBundle]) -> bool:
    """Whether a recipe of these bundles may be sent; those that are only named weigh nothing."""
    whole = [bundle for bundle in bundles if not isinstance(bundle, str)]
    size = sum(len(content) for files in whole for content in files.values())
    return len(bundles) <= MAX_BUNDLES and size <= MAX_RECIPE_BYTES


def _bundles(received: Fields) -> int:
    """How many bundles there are, by their signatures and digests."""
    return sum(name.endswith((f"/{SIGNATURE}", f"/{DIGEST}")) for name in received)


def _bundle(received: Fields, place: int) -> RecipeBundle:
    if f"{place}/{DIGEST}" in received:
        return digest_in(received, f"{place}/{DIGEST}")
    return {name: bytes_in(received, f"{place}/{name}") for name in BOUNDS}


def _digest_of(bundle: RecipeBundle) -> str:
    return bundle if isinstance(bundle, str) else subject_digest(digests_of(bundle))
