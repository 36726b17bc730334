"""Dividing patients (never patches) into training, validation and test, stratified by diagnosis."""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from gdshare.errors import UsageError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
DEFAULT_FRACTIONS = (0.6, 0.2, 0.2)


def require_fractions(fractions: tuple[float, float, float]) -> None:
    """Refuse fractions that do not divide the patients.

    Raises:
        UsageError: a fraction is negative, the training fraction is 0, or they do not sum to 1
            within 1e-6.
    """
    total = sum(fractions)
    if min(fractions) < 0 or not abs(total - 1.0) < 1e-6 or fractions[0] <= 0:
        raise UsageError(
            "the fractions of training, validation and test patients do not sum to 1, one is "
            "negative or the first is 0",
            f"--split {','.join(map(str, fractions))}",
            "give for example 0.6,0.2,0.2",
        )


def split_patients(
    diagnosis: Mapping[str, bool], fractions: tuple[float, float, float], seed: int
) -> dict[str, Split]:
    """Assign each patient to a split, with about the same fraction of positives in each split.

    Within each diagnosis the patients are shuffled and divided by the largest-remainder method, so
    that each split is off its fraction by less than one patient. The result depends on the seed and
    on the set of patients, not on their order.

    Args:
        diagnosis: patient -> positive.
        fractions: of training, validation and test; see ``require_fractions``.
        seed: any non-negative integer.

    Returns:
        patient -> split.

    Raises:
        UsageError: see ``require_fractions``.
    """
    require_fractions(fractions)
    generator = np.random.default_rng([seed, 0x5EED])
    assigned: dict[str, Split] = {}
    for positive in (False, True):
        patients = sorted(name for name, value in diagnosis.items() if value is positive)
        order = generator.permutation(len(patients))
        start = 0
        for split, count in zip(SPLITS, _group_sizes(len(patients), fractions), strict=True):
            for index in order[start : start + count]:
                assigned[patients[index]] = split
            start += count
    return assigned


def _group_sizes(count: int, fractions: tuple[float, float, float]) -> list[int]:
    """Whole numbers that sum to ``count``, by the largest-remainder method."""
    exact = [count * fraction for fraction in fractions]
    sizes = [int(value + 1e-9) for value in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: (sizes[i] - exact[i], i))
    for index in by_remainder[: count - sum(sizes)]:
        sizes[index] += 1
    return sizes
