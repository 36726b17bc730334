"""What every rival is given, and what it can be asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gdshare.distilled import Distilled
from gdshare.networks import Parameters, build, draw
from gdshare.protocol import CLASSES
from gdshare.seeding import torch_generator

Minibatch = tuple[Tensor, Tensor]
"""Float [K, 1, side, side] normalised patches, and int64 [K] classes."""


@dataclass(frozen=True)
class Problem:
    """One distillation, the same for every rival; each draw is a function of the training step."""

    module: nn.Module  # the network's shape; weights that it may have are never read
    theta0: Callable[[int], Parameters]  # training step -> fresh initial weights
    minibatch: Callable[[int], Minibatch]  # training step -> real patches
    side: int  # of the patches, px
    classes: int  # C; one distilled image a class, so also M
    steps: int  # E · I inner steps, all on the same images
    steps_per_epoch: int  # training steps in one pass over the real data
    seed: int  # decides the images' start
    outer_steps: int = 1000  # training steps planned; our learning rate falls to 0 over them

    def start_images(self) -> Tensor:
        """Standard normal noise, torch's default float type [C, 1, side, side]."""
        generator = torch_generator(self.seed, "start-images")
        return torch.randn(self.classes, 1, self.side, self.side, generator=generator)

    def hard_labels(self) -> Tensor:
        """One image a class: rows of the identity, torch's default float type."""
        return torch.eye(self.classes)


def gaussian(network: str, side: int, batch: int, steps: int, seed: int) -> Problem:
    """Noise patches of three classes: time and memory do not depend on the pixels."""
    module = build(network, side)

    def minibatch(step: int) -> Minibatch:
        generator = torch_generator(seed, "gaussian", step)
        classes = torch.arange(batch) % len(CLASSES)
        return torch.randn(batch, 1, side, side, generator=generator), classes

    theta0 = drawn_from(network, module, seed, "theta0")
    return Problem(module, theta0, minibatch, side, len(CLASSES), steps, 1000, seed)


def drawn_from(
    network: str, module: nn.Module, seed: int, purpose: str
) -> Callable[[int], Parameters]:
    """Training step -> θ0 by the network's own initialiser."""
    return lambda step: draw(network, module, torch_generator(seed, purpose, step))


@dataclass(frozen=True)
class MetaGradient:
    """The outer loss and its derivatives."""

    loss: float  # cross entropy of the trained network on the minibatch, nats
    images: Tensor  # float [M, 1, side, side]
    rates: Tensor  # float [E * I], by the raw rate before softplus


class Engine(Protocol):
    """A rival at work on a problem."""

    @property
    def done(self) -> int:
        """Training steps done."""

    def outer_step(self) -> float:
        """One training step: minibatch, θ0, inner steps, meta-gradient, Adam. Returns the loss."""

    def gradient(self) -> MetaGradient:
        """The meta-gradient that the next training step would use; nothing changes."""

    def distilled(self) -> Distilled:
        """Images, labels and learning rates as a receiver would get them."""

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs: tensors, numbers, and dicts, lists and tuples of them."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a checkpoint."""
