"""The real side: networks trained on real patches of all hospitals, as no federation could.

The source's own network is torchvision's ResNet18 with BatchNorm; the project's has GroupNorm,
since BatchNorm cannot be distilled into three images. A baseline might be held back by that, so it
is trained with BatchNorm too: by torchvision's own initialiser, and for the rest exactly as
``gdshare.training`` does it, on the same patches in the same order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, ResNet

from gdshare.cohort import Cohort
from gdshare.dead_taps import trimmed, trims_of, with_dead
from gdshare.errors import UsageError
from gdshare.networks import Parameters, build
from gdshare.protocol import CLASSES
from gdshare.seeding import derived_seed
from gdshare.training import TrainingPlan, sample_patches, train_on_real
from studies.network import Network
from studies.quality.distilled import cohorts_of
from studies.quality.plan import Baseline, Kind
from studies.runner import Piece, Result

VALIDATION_PER_CLASS = 300  # patches of each class and hospital, as ``train_on_real`` takes

Patches = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Training:
    """How a baseline is trained."""

    plan: TrainingPlan
    kind: Kind


@dataclass(frozen=True)
class Trained:
    """A trained network, and how it was chosen."""

    network: Network
    patches: int
    score: float  # on validation patients
    rate: float
    epoch: int


def train_baseline(piece: Piece, training: Training) -> Result:
    """The cell that trains one baseline of one fold; a kill loses it whole."""
    cohorts, plan = cohorts_of(piece), training.plan
    if training.kind == "batch":
        trained = train_batchnorm(cohorts, plan)
    else:
        real = train_on_real(cohorts, plan)
        network = Network.of(real.model)
        trained = Trained(network, real.patches, real.score, real.rate, real.epoch)
    trained.network.write(piece.folder)
    facts = {"patch_score": trained.score, "rate": trained.rate, "epoch": trained.epoch}
    return Result({"patches": trained.patches, **facts})


def baseline_network(folder: Path, baseline: Baseline, side: int) -> Network:
    """What ``train_baseline`` left in its folder; its patches are of ``side`` px."""
    batch = baseline.kind == "batch"
    return Network.read(folder, shape() if batch else build(baseline.network, side))


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


def train_batchnorm(cohorts: Sequence[Cohort], plan: TrainingPlan) -> Trained:
    """Train on real patches, choosing learning rate and epoch on validation patients.

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
