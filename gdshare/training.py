"""Training an ordinary network on real patches: the baseline of Ex. I (Li et al. 2020).

The source trains ResNet18 to convergence on 1,000, 2,000 or 3,000 random real patches of each
class. This needs the patches, so it runs inside one hospital, or in an experiment.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gdshare.cohort import Cohort
from gdshare.dead_taps import drop_dead, find_trims, restore_dead, trim_network
from gdshare.errors import CohortError
from gdshare.model import Model
from gdshare.networks import build, draw, forward
from gdshare.patch_tensors import patch_accuracy, sample_patches
from gdshare.seeding import derived_seed, torch_generator

VALIDATION_PER_CLASS = 300
"""Validation patches of each class and cohort, at most, that an epoch is scored on."""


@dataclass(frozen=True)
class TrainingPlan:
    """How to train on real patches.

    Attributes:
        network: name in ``networks``; normalisation and initialiser are those of distillation.
        per_class: real patches of each class, drawn from the training patients of all cohorts.
        epochs: passes at most; the epoch with the best validation patch score is kept.
        batch: patches a step.
        rates: Adam's learning rates to try; the best on validation patients is kept.
        patience: epochs without a better validation score after which a rate is given up.
        seed: decides every draw.
    """

    network: str = "resnet18"
    per_class: int = 1000
    epochs: int = 30
    batch: int = 64
    rates: tuple[float, ...] = (1e-3, 3e-4)
    patience: int = 8
    seed: int = 0


@dataclass(frozen=True)
class TrainedReal:
    """A trained baseline.

    Attributes:
        model: one network.
        patches: real patches it was trained on.
        score: patch score on validation patients, in [0, 1].
        rate, epoch: Adam's learning rate and the epoch (from 1) that reached it.
    """

    model: Model
    patches: int
    score: float
    rate: float
    epoch: int


def train_on_real(
    cohorts: Sequence[Cohort],
    plan: TrainingPlan,
    device: str = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> TrainedReal:
    """Train on real patches, choosing learning rate and epoch on validation patients.

    Args:
        cohorts: one hospital's, or several pooled, which only an experiment can.
        plan: every setting.
        device: torch's name of where to compute.
        progress: called with (epochs done, epochs at most).

    Raises:
        CohortError: no learning rate to try, or a split has no patch of some class.
        UsageError: the cohorts' protocols differ, or the network cannot take their patches.
    """
    train = _to(sample_patches(cohorts, "train", plan.per_class, plan.seed), device)
    per_class = VALIDATION_PER_CLASS * len(cohorts)
    val = _to(sample_patches(cohorts, "val", per_class, plan.seed), device)
    total = plan.epochs * len(plan.rates)
    best: TrainedReal | None = None
    for index, rate in enumerate(plan.rates):

        def report(epoch: int, offset: int = index * plan.epochs) -> None:
            progress(offset + epoch, total)

        trained = _train_at(rate, cohorts[0], plan, train, val, report)
        if best is None or trained.score > best.score:
            best = trained
    progress(total, total)
    if best is None:
        raise CohortError(
            "no learning rate to try", remedy="give at least one in the training plan"
        )
    return best


def _train_at(
    rate: float,
    cohort: Cohort,
    plan: TrainingPlan,
    train: tuple[Tensor, Tensor],
    val: tuple[Tensor, Tensor],
    report: Callable[[int], None],
) -> TrainedReal:
    whole = build(plan.network, cohort.protocol.side)
    theta0 = draw(plan.network, whole, torch_generator(plan.seed, "real-theta0"))
    trims = find_trims(whole, cohort.protocol.side)
    module, start = trim_network(whole, trims), drop_dead(theta0, trims)
    theta = {name: w.to(train[0].device).requires_grad_() for name, w in start.items()}
    optimiser = torch.optim.Adam(theta.values(), lr=rate, fused=True)
    best_score, best_epoch, best_theta = -1.0, 0, start
    for epoch in range(1, plan.epochs + 1):
        shuffle = torch.Generator().manual_seed(derived_seed(plan.seed, "real-shuffle", epoch))
        for rows in torch.split(torch.randperm(len(train[1]), generator=shuffle), plan.batch):
            optimiser.zero_grad()
            loss = functional.cross_entropy(forward(module, theta, train[0][rows]), train[1][rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        score = patch_accuracy(module, theta, *val)
        report(epoch)
        if score > best_score:
            best_score, best_epoch = score, epoch
            best_theta = {name: w.detach().cpu().clone() for name, w in theta.items()}
        if epoch - best_epoch >= plan.patience:
            break
    model = Model(plan.network, cohort.protocol, (restore_dead(best_theta, theta0, trims),))
    return TrainedReal(model, len(train[1]), best_score, rate, best_epoch)


def _to(pair: tuple[Tensor, Tensor], device: str) -> tuple[Tensor, Tensor]:
    return pair[0].to(device), pair[1].to(device)
