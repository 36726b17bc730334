"""A trained network as images are shown to it, whatever it was trained on."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from gdshare.errors import RunError
from gdshare.model import Model
from gdshare.networks import Parameters, build, forward
from gdshare.storage import write_bytes
from gdshare.training import patch_accuracy

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Network:
    """A network's shape and its weights."""

    module: nn.Module  # in evaluation mode; its own weights are not read
    weights: Parameters  # parameters, and running statistics where it has any, by name

    @classmethod
    def of(cls, model: Model) -> "Network":
        """The network of a model that has only one."""
        (weights,) = model.ensemble
        return cls(build(model.network, model.protocol.side), weights)

    @classmethod
    def read(cls, folder: Path, module: nn.Module) -> "Network":
        """What ``write`` left in the folder of a cell.

        Raises:
            RunError: it cannot be read.
        """
        path = folder / WEIGHTS
        try:
            return cls(module, load(path.read_bytes()))
        except (OSError, SafetensorError) as error:
            raise RunError(
                f"{path}: cannot be read ({error}); remove its folder, and run again"
            ) from error

    def write(self, folder: Path) -> None:
        """Keep the weights."""
        tensors = {name: tensor.detach().contiguous() for name, tensor in self.weights.items()}
        write_bytes(folder / WEIGHTS, save(tensors))

    @torch.inference_mode()
    def probabilities(self, x: Tensor) -> Tensor:
        """Float32 [n, 1, side, side], normalised -> float32 [n, classes], rows summing to 1."""
        return forward(self.module, self.weights, x).softmax(1)

    def patch_score(self, x: Tensor, classes: Tensor) -> float:
        """Class-balanced patch accuracy in [0, 1]."""
        return patch_accuracy(self.module, self.weights, x, classes)
