"""A trained network as a value, and as two files: ``model.safetensors`` and ``model.json``."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from gdshare.errors import ModelError, UsageError
from gdshare.networks import INITIALISERS, Parameters, build
from gdshare.protocol import Protocol
from gdshare.storage import write_bytes, write_json

MAX_MODEL_BYTES = 128 * 1024 * 1024
"""ResNet18 has 45 MB of weights; a file beyond this is not one of ours."""


@dataclass(frozen=True)
class Model:
    """A trained network.

    Attributes:
        network: its name in ``networks``.
        protocol: the patches it was trained on, hence how films must be cut for it.
        parameters: name -> float32 CPU tensor.
    """

    network: str
    protocol: Protocol
    parameters: Parameters

    def to_bytes(self) -> bytes:
        """The weights as safetensors."""
        return save({name: tensor.contiguous() for name, tensor in self.parameters.items()})

    @classmethod
    def from_bytes(cls, network: str, protocol: Protocol, data: bytes) -> "Model":
        """Read weights that may come from a stranger.

        Raises:
            ModelError: too large, not safetensors, or not exactly this network's finite float32
                weights.
        """
        if len(data) > MAX_MODEL_BYTES:
            raise ModelError(f"the model is {len(data):,} bytes, over {MAX_MODEL_BYTES:,}; refuse")
        try:
            parameters = load(data)
            expected = {
                name: p.shape for name, p in build(network, protocol.side).named_parameters()
            }
        except (SafetensorError, UsageError, ValueError) as error:
            raise ModelError(
                f"the model's weights cannot be read ({error}); fetch it again"
            ) from error
        if {name: tensor.shape for name, tensor in parameters.items()} != expected:
            raise ModelError(
                f"the model's tensors are not those of {network}; use the model.json it came with"
            )
        for name, tensor in parameters.items():
            if tensor.dtype != torch.float32 or not bool(tensor.isfinite().all()):
                raise ModelError(f"the model's tensor {name} is not finite float32; train it again")
        return cls(network, protocol, parameters)


class ModelRecord(BaseModel):
    """``model.json``: what the weights are, and where they come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str = "gdshare-model/1"
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
