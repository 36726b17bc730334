"""A trained model as a value, and as two files: ``model.safetensors`` and ``model.json``.

A model is an ensemble: one or more networks of the same kind, trained from different θ0, that vote
together. In the file each weight's name has its network's place before it: ``0/conv1.weight``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from gdshare.errors import ModelError, UsageError
from gdshare.networks import INITIALISERS, Parameters, build
from gdshare.protocol import Protocol
from gdshare.storage import write_bytes, write_json

MAX_ENSEMBLE = 10
MAX_MODEL_BYTES = MAX_ENSEMBLE * 48 * 1024 * 1024
"""A ResNet18 has 45 MB of weights; a file beyond this is not one of ours."""


@dataclass(frozen=True)
class Model:
    """A trained ensemble.

    Attributes:
        network: the name in ``networks`` of all its networks alike.
        protocol: the patches they were trained on, hence how films must be cut for them.
        ensemble: of each network, parameter name -> float32 CPU tensor; 1 to ``MAX_ENSEMBLE``.
    """

    network: str
    protocol: Protocol
    ensemble: tuple[Parameters, ...]

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
        """Read weights that may come from a stranger.

        Raises:
            ModelError: too large, not safetensors, or not exactly the finite float32 weights of 1
                to ``MAX_ENSEMBLE`` of these networks.
        """
        if len(data) > MAX_MODEL_BYTES:
            raise ModelError(f"the model is {len(data):,} bytes, over {MAX_MODEL_BYTES:,}; refuse")
        try:
            tensors = load(data)
            shapes = {name: p.shape for name, p in build(network, protocol.side).named_parameters()}
        except (SafetensorError, UsageError, ValueError) as error:
            raise ModelError(
                f"the model's weights cannot be read ({error}); fetch it again"
            ) from error
        size, rest = divmod(len(tensors), len(shapes))
        expected = {f"{n}/{name}": shape for n in range(size) for name, shape in shapes.items()}
        found = {name: tensor.shape for name, tensor in tensors.items()}
        if rest or not 1 <= size <= MAX_ENSEMBLE or found != expected:
            raise ModelError(
                f"the model's tensors are not those of 1 to {MAX_ENSEMBLE} times {network}; use "
                "the model.json it came with"
            )
        for name, tensor in tensors.items():
            if tensor.dtype != torch.float32 or not bool(tensor.isfinite().all()):
                raise ModelError(f"the model's tensor {name} is not finite float32; train it again")
        ensemble = tuple({name: tensors[f"{n}/{name}"] for name in shapes} for n in range(size))
        return cls(network, protocol, ensemble)


class ModelRecord(BaseModel):
    """``model.json``: what the weights are, and where they come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["gdshare-model/2"] = "gdshare-model/2"
    network: str
    initialiser: str
    protocol: Protocol
    origin: dict[str, JsonValue]


def save_model(folder: Path, model: Model, origin: Mapping[str, JsonValue]) -> None:
    """Write the two files into ``folder``, making it if needed.

    Args:
        folder: ``model.safetensors`` and ``model.json`` go here.
        model: to save.
        origin: free-form facts for people and ledgers: the bundles' digests, the seed, a threshold.
    """
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
        record = ModelRecord.model_validate_json((folder / "model.json").read_bytes())
        weights = folder / "model.safetensors"
        if weights.stat().st_size > MAX_MODEL_BYTES:
            raise ModelError(f"{weights}: too large to be a model; check the path")
        data = weights.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{folder}: not a model ({error.strerror}); give the folder that holds model.json"
        ) from error
    except (ValidationError, json.JSONDecodeError) as error:
        raise ModelError(
            f"{folder / 'model.json'}: damaged or of another version; train the model again"
        ) from error
    try:
        return Model.from_bytes(record.network, record.protocol, data), record
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from error
