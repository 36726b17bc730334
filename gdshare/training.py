"""Training an ordinary network on real patches: the baseline that distillation is held against.

Source: Li et al. 2020, Ex. I: ResNet18 trained to convergence on 1,000, 2,000 or 3,000 random real
patches of each class. Needs the patches, so it runs inside one hospital, or in an experiment.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gdshare.cohort import Cohort, Patches, Split
from gdshare.dead_taps import trimmed, trims_of, with_dead, without_dead
from gdshare.errors import CohortError
from gdshare.model import Model
from gdshare.networks import Parameters, build, draw, forward
from gdshare.patches import normalise
from gdshare.protocol import CLASSES
from gdshare.seeding import derived_seed, numpy_generator, scoring_rows, torch_generator

FORWARD_BATCH = 512


@dataclass(frozen=True)
class TrainingPlan:
    """How to train on real patches.

    Attributes:
        network: name in ``networks``; the same normalisation and initialiser as in distillation.
        per_class: real patches of each class, drawn from the cohorts' training patients together.
        epochs: passes at the most; the epoch of best validation patch score is kept.
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
    """A baseline: the model, how many real patches it was trained on, its patch score on validation
    patients, and how that was reached.
    """

    model: Model
    patches: int
    score: float
    rate: float
    epoch: int


def as_tensors(patches: Patches, rows: np.ndarray, cohort: Cohort) -> tuple[Tensor, Tensor]:
    """Windows as a network sees them: float32 [n, 1, side, side] normalised, int64 [n] classes."""
    x = torch.from_numpy(normalise(patches.scaled(rows), cohort.protocol)).unsqueeze(1)
    return x, torch.from_numpy(patches.labels[rows].astype(np.int64))


def patch_accuracy(module: nn.Module, parameters: Parameters, x: Tensor, classes: Tensor) -> float:
    """Class-balanced patch accuracy: the mean over the classes present of each class's recall.

    Args:
        module: the network's shape.
        parameters: trained weights.
        x: float32 [n, 1, side, side], normalised.
        classes: int64 [n].

    Returns:
        in [0, 1]; 1/3 is guessing.
    """
    with torch.inference_mode():
        called = torch.cat(
            [forward(module, parameters, part).argmax(1) for part in torch.split(x, FORWARD_BATCH)]
        )
        hits = (called == classes).double()
        present = torch.unique(classes)
        return float(torch.stack([hits[classes == label].mean() for label in present]).mean())


def sample_patches(
    cohorts: Sequence[Cohort], split: Split, per_class: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Draw about ``per_class`` windows of each class from several cohorts, as evenly as they allow.

    Returns:
        float32 [n, 1, side, side] normalised, and int64 [n] classes.

    Raises:
        CohortError: no cohort has a window in this split.
        UsageError: the cohorts' protocols differ.
    """
    share = -(-per_class // len(cohorts))
    parts = []
    for index, cohort in enumerate(cohorts):
        cohorts[0].protocol.require_same(cohort.protocol, f"cohort {cohort.path}")
        patches = cohort.patches(split)
        rows = scoring_rows(patches, share, numpy_generator(seed, f"sample-{split}", index))
        parts.append(as_tensors(patches, rows, cohort))
    x, y = torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])
    if len(torch.unique(y)) < len(CLASSES):
        raise CohortError(
            f"the {split} split lacks windows of some class",
            cohorts[0].path,
            "add films, or change the patch size or the split",
        )
    return x, y


def train_on_real(
    cohorts: Sequence[Cohort],
    plan: TrainingPlan,
    device: str = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> TrainedReal:
    """Train on real patches, choosing learning rate and epoch on validation patients.

    Args:
        cohorts: one hospital's, or several pooled, which only an experiment can.
        plan: every knob.
        device: torch's name of where to compute.
        progress: called with (epochs done, epochs at the most).
    """
    train = _to(sample_patches(cohorts, "train", plan.per_class, plan.seed), device)
    val = _to(sample_patches(cohorts, "val", 300 * len(cohorts), plan.seed), device)
    total = plan.epochs * len(plan.rates)
    best: TrainedReal | None = None
    for index, rate in enumerate(plan.rates):

        def report(epoch: int, offset: int = index * plan.epochs) -> None:
            progress(offset + epoch, total)

        found = _train_at(rate, cohorts[0], plan, train, val, report)
        if best is None or found.score > best.score:
            best = found
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
    drawn = draw(plan.network, whole, torch_generator(plan.seed, "real-theta0"))
    trims = trims_of(whole, cohort.protocol.side)
    module, start = trimmed(whole, trims), without_dead(drawn, trims)
    theta = {name: w.to(train[0].device).requires_grad_() for name, w in start.items()}
    optimiser = torch.optim.Adam(theta.values(), lr=rate, fused=True)
    best_score, best_epoch, kept = -1.0, 0, start
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
            kept = {name: w.detach().cpu().clone() for name, w in theta.items()}
        if epoch - best_epoch >= plan.patience:
            break
    model = Model(plan.network, cohort.protocol, (with_dead(kept, drawn, trims),))
    return TrainedReal(model, len(train[1]), best_score, rate, best_epoch)


def _to(pair: tuple[Tensor, Tensor], device: str) -> tuple[Tensor, Tensor]:
    return pair[0].to(device), pair[1].to(device)
