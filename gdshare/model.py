"""A trained model as a value, and as two files: ``model.safetensors`` and ``model.json``.

A model is an ensemble: one or more networks of the same kind, trained from different θ0, that vote
together. In the file the name of a weight begins with the network's place: ``0/conv1.weight``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from gdshare.errors import ModelError, UsageError
from gdshare.networks import INITIALISERS, Parameters, build
from gdshare.plain_files import MAX_RECORD, TooLargeError, read_plain
from gdshare.protocol import CLASSES, MAX_ENSEMBLE, Protocol
from gdshare.storage import write_bytes, write_json

MAX_MODEL_BYTES = MAX_ENSEMBLE * 48 * 1024 * 1024
"""A ResNet18 has 45 MB of weights."""
MAX_HEADER_BYTES = 256 * 1024
"""The header of ten ResNet18s has 100 kB."""

Shapes = dict[str, list[int]]


@dataclass(frozen=True)
class Model:
    """A trained ensemble.

    Attributes:
        network: name in ``networks``, the same for the whole ensemble.
        protocol: of the patches they were trained on; films must be cut by it.
        ensemble: 1 to ``MAX_ENSEMBLE`` networks, each parameter name -> float32 CPU tensor.
        classes: in the order of its outputs. Only a model of ``CLASSES`` can be saved, or can
            classify films.
        threshold: ε that was fixed for it, see ``gdshare.vote``; None if none was.
    """

    network: str
    protocol: Protocol
    ensemble: Sequence[Parameters]
    classes: tuple[str, ...] = CLASSES
    threshold: float | None = None

    def __post_init__(self) -> None:
        """Refuse an ensemble that could not be read back.

        Raises:
            ModelError: no network, or too many.
        """
        if not 1 <= len(self.ensemble) <= MAX_ENSEMBLE:
            raise ModelError(
                f"an ensemble of {len(self.ensemble)} networks", remedy=f"use 1 to {MAX_ENSEMBLE}"
            )

    def require_patch_classes(self) -> None:
        """Refuse a model of other classes than I, N and P.

        Raises:
            ModelError: naming its classes.
        """
        if self.classes != CLASSES:
            raise ModelError(
                f"the model tells {', '.join(self.classes)} apart; films and files of models have "
                f"the classes {', '.join(CLASSES)} alone",
                remedy="use gdshare.predict with it",
            )

    def to_bytes(self) -> bytes:
        """The weights as safetensors."""
        return save(
            {
                f"{place}/{name}": tensor.contiguous()
                for place, parameters in enumerate(self.ensemble)
                for name, tensor in parameters.items()
            }
        )

    @classmethod
    def from_bytes(cls, network: str, protocol: Protocol, data: bytes) -> "Model":
        """Read untrusted weights (``weights_from_bytes``).

        Raises:
            ModelError: too large, not safetensors, or not exactly the finite float32 weights of 1
                to ``MAX_ENSEMBLE`` of these networks.
        """
        return cls(network, protocol, weights_from_bytes(network, protocol.side, data))


def weights_from_bytes(network: str, side: int, data: bytes) -> tuple[Parameters, ...]:
    """Read untrusted weights: check the size, then the header, then the values.

    Args:
        network: name in ``networks``.
        side: of its input, px.
        data: safetensors, as ``Model.to_bytes`` writes them.

    Raises:
        ModelError: as ``Model.from_bytes``.
    """
    if len(data) > MAX_MODEL_BYTES:
        raise ModelError(
            f"the model is {len(data):,} bytes, over {MAX_MODEL_BYTES:,}", remedy="refuse"
        )
    try:
        module = build(network, side)
        shapes = {name: list(p.shape) for name, p in module.named_parameters()}
        size = _require_header(data, shapes, network)
        tensors = load(data)
    except (SafetensorError, UsageError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"the model's weights cannot be read ({error})", remedy="fetch it again"
        ) from error
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise ModelError(f"the model's tensor {name} is not finite", remedy="train it again")
    return tuple({name: tensors[f"{n}/{name}"] for name in shapes} for n in range(size))


def _require_header(data: bytes, shapes: Shapes, network: str) -> int:
    """Check names, dtypes, shapes and length by the header alone, before the library parses it.

    Returns:
        how many networks there are.

    Raises:
        ModelError: not the float32 weights of 1 to ``MAX_ENSEMBLE`` of these networks.
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(MAX_HEADER_BYTES, len(data) - 8):
        raise ModelError(
            f"the model's weights have no header of at most {MAX_HEADER_BYTES:,} bytes",
            remedy="fetch it again",
        )
    header = _parse_header(data[8 : 8 + length])
    size, rest = divmod(len(header), len(shapes))
    elements = size * sum(prod(shape) for shape in shapes.values())
    if (
        rest
        or not 1 <= size <= MAX_ENSEMBLE
        or not all(
            _dtype_and_shape(header.get(f"{n}/{name}")) == ("F32", shape)
            for n in range(size)
            for name, shape in shapes.items()
        )
        or len(data) != 8 + length + 4 * elements
    ):
        raise ModelError(
            f"the model's tensors are not the float32 ones of 1 to {MAX_ENSEMBLE} times {network}",
            remedy="use the model.json it came with, or train it again",
        )
    return size


def _parse_header(data: bytes) -> dict[str, JsonValue]:
    try:
        header = json.loads(data, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise ModelError("the model's header is not JSON", remedy="fetch it again") from error
    if not isinstance(header, dict):
        raise ModelError("the model's header is not a table of tensors", remedy="fetch it again")
    return header


def _without_duplicates(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    """Refuse duplicate names: two parsers may take different values."""
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ModelError("the model's header names something twice", remedy="fetch it again")
    return table


def _dtype_and_shape(entry: JsonValue) -> tuple[JsonValue, JsonValue]:
    return (entry.get("dtype"), entry.get("shape")) if isinstance(entry, dict) else (None, None)


class ModelRecord(BaseModel):
    """``model.json``: what the weights are, and their origin."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["gdshare-model/2"] = "gdshare-model/2"
    network: str
    initialiser: str
    protocol: Protocol
    origin: dict[str, JsonValue]

    @property
    def threshold(self) -> float | None:
        """ε that was fixed for the model, in [0, 1]; None if none was."""
        value = self.origin.get("threshold")
        return value if isinstance(value, float) else None


def save_model(folder: Path, model: Model, origin: Mapping[str, JsonValue]) -> None:
    """Write the two files into ``folder``, making it if needed.

    Args:
        folder: for ``model.safetensors`` and ``model.json``.
        model: to save.
        origin: free-form facts for people and ledgers: digests of bundles, seed, threshold.

    Raises:
        ModelError: it is of other classes than I, N and P.
    """
    model.require_patch_classes()
    folder.mkdir(parents=True, exist_ok=True)
    record = ModelRecord(
        network=model.network,
        initialiser=INITIALISERS[model.network],
        protocol=model.protocol,
        origin=dict(origin),
    )
    write_bytes(folder / "model.safetensors", model.to_bytes())
    write_json(folder / "model.json", record.model_dump(mode="json"))


def load_model(folder: Path) -> tuple[Model, ModelRecord]:
    """Read what ``save_model`` wrote.

    Raises:
        ModelError: not there, damaged, or of another version.
    """
    try:
        described = read_plain(folder / "model.json", MAX_RECORD)
        record = ModelRecord.model_validate_json(described)
        data = read_plain(folder / "model.safetensors", MAX_MODEL_BYTES)
    except TooLargeError as error:
        raise ModelError("too large to be a model", error.filename, "check the path") from error
    except OSError as error:
        raise ModelError(
            f"not a model ({error.strerror})", folder, "give the folder that holds model.json"
        ) from error
    except (ValidationError, json.JSONDecodeError) as error:
        raise ModelError(
            "damaged or of another version", folder / "model.json", "train the model again"
        ) from error
    try:
        model = Model.from_bytes(record.network, record.protocol, data)
    except ModelError as error:
        raise error.at(folder) from error
    return replace(model, threshold=record.threshold), record
