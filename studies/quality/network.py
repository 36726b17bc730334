"""A trained network as films are shown to it, whatever it was trained on."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gdshare.model import Model
from gdshare.networks import Parameters, build, forward
from gdshare.training import patch_accuracy


@dataclass(frozen=True)
class Network:
    """A network's shape and its weights.

    Attributes:
        module: in evaluation mode; its own weights are not read.
        weights: parameters, and running statistics where it has any, by name.
    """

    module: nn.Module
    weights: Parameters

    @classmethod
    def of(cls, model: Model) -> "Network":
        """The network of a model that has only one."""
        (weights,) = model.ensemble
        return cls(build(model.network, model.protocol.side), weights)

    @torch.inference_mode()
    def probabilities(self, x: Tensor) -> Tensor:
        """Float32 [n, 1, side, side], normalised -> float32 [n, 3], rows summing to 1."""
        return forward(self.module, self.weights, x).softmax(1)

    def patch_score(self, x: Tensor, classes: Tensor) -> float:
        """Class-balanced patch accuracy in [0, 1]; 1/3 is guessing."""
        return patch_accuracy(self.module, self.weights, x, classes)
