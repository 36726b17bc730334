"""Training networks, keeping them, and the distillations that some of them are trained from."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional

from gdshare.cohort import Cohort
from gdshare.distill.loop import Outcome, Tick, distill
from gdshare.distill.run_folder import RECORD
from gdshare.errors import RunError
from gdshare.method import Settings
from gdshare.model import Model
from gdshare.networks import Parameters, build, forward
from gdshare.patch_tensors import patch_accuracy
from gdshare.scattering import Scattering
from gdshare.storage import write_bytes
from studies.runner import Piece

WEIGHTS, RUN = "weights.safetensors", "run"


@dataclass(frozen=True)
class Network:
    module: nn.Module  # in evaluation mode; its own weights are not read
    weights: Parameters  # parameters, and running statistics where it has any, by name

    @classmethod
    def of(cls, model: Model) -> "Network":
        (weights,) = model.ensemble
        return cls(build(model.network, model.protocol.side), weights)

    @classmethod
    def read(cls, folder: Path, module: nn.Module) -> "Network":
        path = folder / WEIGHTS
        try:
            return cls(module, load(path.read_bytes()))
        except (OSError, SafetensorError) as error:
            remedy = "remove its folder, and run again"
            raise RunError(f"cannot be read ({error})", path, remedy) from error

    def write(self, folder: Path) -> None:
        tensors = {name: tensor.detach().contiguous() for name, tensor in self.weights.items()}
        write_bytes(folder / WEIGHTS, save(tensors))

    @torch.inference_mode()
    def probabilities(self, x: Tensor) -> Tensor:
        """Float32 [n, 1, side, side], normalised -> float32 [n, classes], rows summing to 1."""
        return forward(self.module, self.weights, x).softmax(1)

    def patch_score(self, x: Tensor, classes: Tensor) -> float:
        """Class-balanced patch accuracy in [0, 1]."""
        return patch_accuracy(self.module, self.weights, x, classes)


@torch.inference_mode()
def probabilities(networks: Sequence[Network], x: Tensor) -> list[Tensor]:
    """What each network makes of the same patches; scattering's features are computed once."""
    body = next(filter(None, (_scattering(network.module) for network in networks)), None)
    features = body(x) if body else x

    def see(network: Network) -> Tensor:
        if not _scattering(network.module):
            return network.probabilities(x)
        weight, bias = (network.weights[f"1.{name}"] for name in ("weight", "bias"))
        return functional.linear(features, weight, bias).softmax(1)

    return [see(network) for network in networks]


def _scattering(module: nn.Module) -> Scattering | None:
    """The fixed body, where the network has one."""
    first = module[0] if isinstance(module, nn.Sequential) else module
    return first if isinstance(first, Scattering) else None


@dataclass(frozen=True)
class Best:
    """What a training kept: the state of best validation score, and its epoch, from 1."""

    score: float
    epoch: int
    weights: Parameters


def train_early_stopped(
    optimiser: torch.optim.Optimizer,
    epochs: Iterable[Iterable[Tensor]],
    loss: Callable[[Tensor], Tensor],
    validate: Callable[[], tuple[float, Parameters]],
    patience: int,
) -> Best:
    """Train until so many epochs have brought no better score.

    ``epochs`` gives the rows of each minibatch, ``loss`` theirs, and ``validate`` the score of the
    weights as they are, and a copy of them.
    """
    best = Best(-1.0, 0, {})
    for epoch, minibatches in enumerate(epochs, start=1):
        for rows in minibatches:
            optimiser.zero_grad()
            loss(rows).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        score, weights = validate()
        if score > best.score:
            best = Best(score, epoch, weights)
        if epoch - best.epoch >= patience:
            break
    return best


def distil_in_piece(cohort: Cohort, settings: Settings, piece: Piece) -> Outcome:
    """Distil into the cell's folder, from the last checkpoint there."""
    run = piece.folder / RUN
    begun = (run / RECORD).exists()
    if not begun:
        shutil.rmtree(run, ignore_errors=True)  # an attempt killed before it wrote its record

    def progress(tick: Tick) -> None:
        if tick.step % settings.checkpoint_every == 0:
            piece.keep()

    return distill(cohort, run, settings, resume=begun, progress=progress)
