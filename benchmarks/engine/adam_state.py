"""Saving and restoring torch's Adam, for checkpoints without pickle."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.optim import Adam

MOMENTS = ("exp_avg", "exp_avg_sq")


def frozen(leaves: Sequence[Tensor], adam: Adam) -> dict[str, Tensor]:
    """Copies of the unknowns and of Adam's moments, by name."""
    tensors = {f"leaf.{i}": leaf.detach().clone() for i, leaf in enumerate(leaves)}
    for i, leaf in enumerate(leaves):
        for name, value in adam.state.get(leaf, {}).items():
            tensors[f"{name}.{i}"] = torch.as_tensor(value).detach().clone()
    return tensors


def thaw(tensors: Mapping[str, Tensor], leaves: Sequence[Tensor], adam: Adam) -> None:
    """Write a frozen state back into the unknowns and into Adam."""
    with torch.no_grad():
        for i, leaf in enumerate(leaves):
            leaf.copy_(tensors[f"leaf.{i}"])
            if f"step.{i}" in tensors:
                state = {name: tensors[f"{name}.{i}"].clone() for name in ("step", *MOMENTS)}
                adam.state[leaf] = state
