"""A cohort's patches as tensors, and how accurately a network classifies them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gdshare.cohort import Cohort, Patches, Split
from gdshare.errors import CohortError
from gdshare.networks import Parameters, forward
from gdshare.patches import normalise
from gdshare.protocol import CLASSES, Protocol
from gdshare.seeding import numpy_generator, scoring_rows

FORWARD_BATCH = 512
"""Patches that go through a network together when no gradient is needed."""


def as_tensors(
    patches: Patches, rows: npt.NDArray[np.int64], protocol: Protocol
) -> tuple[Tensor, Tensor]:
    """Patches as a network reads them.

    Args:
        patches: of one split.
        rows: int64 [n], indices of patches.
        protocol: of the patches; it has the normalisation.

    Returns:
        float32 [n, 1, side, side] normalised, and int64 [n] classes.
    """
    x = torch.from_numpy(normalise(patches.scaled(rows), protocol)).unsqueeze(1)
    return x, torch.from_numpy(patches.labels[rows].astype(np.int64))


def sample_patches(
    cohorts: Sequence[Cohort], split: Split, per_class: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Draw about ``per_class`` patches of each class from several cohorts, as evenly as they allow.

    Returns:
        float32 [n, 1, side, side] normalised, and int64 [n] classes.

    Raises:
        CohortError: the split has no patch of some class.
        UsageError: the cohorts' protocols differ.
    """
    share = -(-per_class // len(cohorts))  # rounded up
    parts = []
    for index, cohort in enumerate(cohorts):
        cohorts[0].protocol.require_same(cohort.protocol, f"cohort {cohort.path}")
        patches = cohort.patches(split)
        rows = scoring_rows(patches, share, numpy_generator(seed, f"sample-{split}", index))
        parts.append(as_tensors(patches, rows, cohort.protocol))
    x, y = torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])
    if len(torch.unique(y)) < len(CLASSES):
        raise CohortError(
            f"the {split} split has no patch of some class",
            cohorts[0].path,
            "add films, or change the patch size or the split",
        )
    return x, y


def patch_accuracy(module: nn.Module, parameters: Parameters, x: Tensor, classes: Tensor) -> float:
    """Class-balanced patch accuracy: the mean recall of the classes that are present.

    Args:
        module: the network's shape.
        parameters: trained weights.
        x: float32 [n, 1, side, side], normalised.
        classes: int64 [n].

    Returns:
        in [0, 1]; chance is 1 / classes.
    """
    with torch.inference_mode():
        predicted = torch.cat(
            [forward(module, parameters, part).argmax(1) for part in torch.split(x, FORWARD_BATCH)]
        )
        return balanced_accuracy(predicted, classes)


def balanced_accuracy(predicted: Tensor, classes: Tensor) -> float:
    """Mean recall of the classes that are present, in [0, 1].

    Args:
        predicted: int64 [n].
        classes: int64 [n], the true ones.
    """
    hits = (predicted == classes).double()
    present = torch.unique(classes)
    return float(torch.stack([hits[classes == label].mean() for label in present]).mean())
