"""The real side: the same ConvNet trained on every training image."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import functional

from benchmarks.engine.tasks import PNEUMONIA_CLASSES, pneumonia_network, pneumonia_split
from benchmarks.pieces.claims import Facts, Watch
from gdshare.errors import RunError
from gdshare.networks import draw, forward
from gdshare.seeding import balanced_rows, derived_seed, numpy_generator, torch_generator
from gdshare.storage import write_bytes
from gdshare.training import patch_accuracy
from studies.pneumonia.plan import Batches, PneumoniaPlan, Trial
from studies.quality.network import Network

WEIGHTS = "weights.safetensors"


def train_real(
    plan: PneumoniaPlan, file: Path, seed: int, trial: Trial, folder: Path, watch: Watch
) -> Facts:
    """The piece that trains by one trial; a kill loses it whole.

    Returns:
        the epoch of best balanced accuracy on validation images, and that accuracy; its weights
        are left in ``folder``.
    """
    x, classes = pneumonia_split(file, "train")
    val = pneumonia_split(file, "val")
    module = pneumonia_network()
    drawn = draw("convnet", module, torch_generator(seed, "real-theta0"))
    theta = {name: weight.requires_grad_() for name, weight in drawn.items()}
    optimiser = torch.optim.Adam(theta.values(), lr=trial.rate)
    best_score, best_epoch = -1.0, 0
    for epoch in range(1, plan.epochs + 1):
        for rows in batches(trial.batches, classes, plan.real_batch, seed, epoch):
            optimiser.zero_grad()
            loss = functional.cross_entropy(forward(module, theta, x[rows]), classes[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        score = patch_accuracy(module, theta, *val)
        if score > best_score:
            best_score, best_epoch = score, epoch
            write_bytes(folder / WEIGHTS, save({n: w.detach() for n, w in theta.items()}))
        if epoch - best_epoch >= plan.patience:
            break
    return {"score": best_score, "epoch": best_epoch, "images": len(classes)}


def batches(way: Batches, classes: Tensor, size: int, seed: int, epoch: int) -> Iterator[Tensor]:
    """The minibatches of one pass: int64 rows. A balanced pass takes as many steps as a plain one.

    Args:
        way: plain or balanced.
        classes: int64 [n], of all training images.
        size: images a batch; of a plain pass the last may be smaller.
        seed: decides the draws.
        epoch: the pass, counted from 1.
    """
    if way == "plain":
        shuffle = torch.Generator().manual_seed(derived_seed(seed, "real-shuffle", epoch))
        yield from torch.split(torch.randperm(len(classes), generator=shuffle), size)
        return
    rows_by_class = [np.flatnonzero(classes.numpy() == c) for c in range(PNEUMONIA_CLASSES)]
    steps = -(-len(classes) // size)
    for step in range(epoch * steps, (epoch + 1) * steps):
        rows = balanced_rows(rows_by_class, size, numpy_generator(seed, "real-balanced", step))
        yield torch.from_numpy(rows)


def read_network(folder: Path) -> Network:
    """What ``train_real`` left in its folder.

    Raises:
        RunError: it cannot be read.
    """
    path = folder / WEIGHTS
    try:
        return Network(pneumonia_network(), load(path.read_bytes()))
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"{path}: cannot be read ({error}); remove {folder}, and run again"
        ) from error
