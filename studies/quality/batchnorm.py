"""The source's own kind of network: torchvision's ResNet18 with BatchNorm, trained on real patches.

The project's ResNet18 has GroupNorm, since BatchNorm cannot be distilled into three images. A
baseline that is held to GroupNorm might be held back by it, so it is trained with BatchNorm too:
torchvision's own initialiser, and for the rest exactly what ``gdshare.training`` does: the same
patches in the same order, the same rates, patience, and choice by validation patients.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, ResNet

from gdshare.cohort import Cohort
from gdshare.dead_taps import trimmed, trims_of, with_dead
from gdshare.errors import UsageError
from gdshare.networks import Parameters
from gdshare.protocol import CLASSES
from gdshare.seeding import derived_seed
from gdshare.training import TrainingPlan, sample_patches
from studies.quality.network import Network

VALIDATION_PER_CLASS = 300
"""Validation patches of each class and hospital, as ``gdshare.training.train_on_real`` takes."""

Patches = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Trained:
    """A trained network: how many real patches it saw, its patch score on validation patients, and
    the learning rate and the epoch that reached it.
    """

    network: Network
    patches: int
    score: float
    rate: float
    epoch: int


def shape() -> nn.Module:
    """ResNet18 with BatchNorm for gray patches, in evaluation mode, its weights without memory."""
    with torch.device("meta"):
        return _resnet18().eval()


def drawn(seed: int) -> nn.Module:
    """The same with weights by torchvision's own initialiser, in training mode.

    The initialiser draws from torch's global generator, whose state is given back afterwards.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derived_seed(seed, "real-theta0"))
        return _resnet18()


def train_on_real(cohorts: Sequence[Cohort], plan: TrainingPlan) -> Trained:
    """Train on real patches, choosing learning rate and epoch on validation patients.

    Args:
        cohorts: several hospitals' patches, pooled.
        plan: every knob but the network, which is ResNet18.

    Raises:
        UsageError: the plan has no learning rate to try.
    """
    train = sample_patches(cohorts, "train", plan.per_class, plan.seed)
    val = sample_patches(cohorts, "val", VALIDATION_PER_CLASS * len(cohorts), plan.seed)
    if not plan.rates:
        raise UsageError("no learning rate to try; give at least one in the training plan")
    return max((_train_at(rate, plan, train, val) for rate in plan.rates), key=lambda t: t.score)


def _train_at(rate: float, plan: TrainingPlan, train: Patches, val: Patches) -> Trained:
    whole = drawn(plan.seed)
    trims = trims_of(shape(), train[0].shape[-1])
    module = trimmed(whole, trims)
    optimiser = torch.optim.Adam(module.parameters(), lr=rate, fused=True)
    best_score, best_epoch, kept = -1.0, 0, _weights(module)
    for epoch in range(1, plan.epochs + 1):
        _pass(module, optimiser, plan, train, epoch)
        weights = _weights(module)
        score = Network(module.eval(), weights).patch_score(*val)
        if score > best_score:
            best_score, best_epoch, kept = score, epoch, weights
        if epoch - best_epoch >= plan.patience:
            break
    weights = with_dead(kept, _weights(whole), trims)
    return Trained(Network(shape(), weights), len(train[1]), best_score, rate, best_epoch)


def _pass(
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    plan: TrainingPlan,
    train: Patches,
    epoch: int,
) -> None:
    """One shuffled pass over the training patches."""
    module.train()
    x, classes = train
    shuffle = torch.Generator().manual_seed(derived_seed(plan.seed, "real-shuffle", epoch))
    for rows in torch.split(torch.randperm(len(classes), generator=shuffle), plan.batch):
        if len(rows) < 2:  # a single patch has no batch statistics where maps are 1 x 1
            continue
        optimiser.zero_grad()
        loss = functional.cross_entropy(module(x[rows]), classes[rows])
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def _resnet18() -> nn.Module:
    network: nn.Module = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=len(CLASSES))
    network.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    # As torchvision draws every convolution; fan_out does not depend on the input channels.
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    return network


def _weights(module: nn.Module) -> Parameters:
    """A copy of parameters and running statistics."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
