"""Every random draw of a run as a pure function of (seed, purpose, index).

Nothing depends on how many draws came before, so a resumed run needs no generator state, and a
change in one place (say, how often scores are taken) leaves all other draws unchanged.
"""

import hashlib

import numpy as np
import numpy.typing as npt
import torch

from gdshare.cohort import Patches


def derived_seed(seed: int, purpose: str, index: int = 0) -> int:
    """A 63-bit seed for one draw, from SHA-256 of the run's seed, the purpose and a counter."""
    digest = hashlib.sha256(f"gdshare/{seed}/{purpose}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def torch_generator(seed: int, purpose: str, index: int = 0) -> torch.Generator:
    """A torch CPU generator for one draw."""
    return torch.Generator().manual_seed(derived_seed(seed, purpose, index))


def numpy_generator(seed: int, purpose: str, index: int = 0) -> np.random.Generator:
    """A numpy generator for one draw."""
    return np.random.default_rng(derived_seed(seed, purpose, index))


def balanced_rows(
    rows_by_class: list[npt.NDArray[np.int64]], batch: int, generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Draw a class-balanced minibatch, without replacement in classes that are large enough.

    When ``batch`` is not a multiple of the classes, chance decides which get an extra patch.

    Returns:
        int64 [batch], indices of windows.
    """
    counts = np.full(len(rows_by_class), batch // len(rows_by_class))
    extra = generator.permutation(len(rows_by_class))[: batch % len(rows_by_class)]
    counts[extra] += 1
    return np.concatenate(
        [
            generator.choice(rows, size=count, replace=count > len(rows))
            for rows, count in zip(rows_by_class, counts, strict=True)
        ]
    )


def scoring_rows(
    patches: Patches, per_class: int, generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Choose up to ``per_class`` windows of each class to score on.

    Returns:
        int64 [n], sorted, since memory-mapped files are read fastest in order.
    """
    chosen = [
        generator.choice(rows, size=min(per_class, len(rows)), replace=False)
        for rows in patches.rows_by_class()
        if len(rows)
    ]
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)


def missing_classes(patches: Patches) -> list[str]:
    """Names of classes without a window."""
    named = zip(patches.classes, patches.rows_by_class(), strict=True)
    return [name for name, rows in named if not len(rows)]
