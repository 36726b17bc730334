"""Dividing patients, never patches, into training, validation and test, by diagnosis."""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from gdshare.errors import UsageError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
DEFAULT_FRACTIONS = (0.6, 0.2, 0.2)


def require_fractions(fractions: tuple[float, float, float]) -> None:
    """Refuse split fractions that are not three shares of a whole.

    Raises:
        UsageError: negative, or not summing to 1 within 1e-6, or no training share.
    """
    total = sum(fractions)
    if min(fractions) < 0 or not abs(total - 1.0) < 1e-6 or fractions[0] <= 0:
        raise UsageError(
            f"--split {','.join(map(str, fractions))}: give three shares (training, validation, "
            "test) that sum to 1, such as 0.6,0.2,0.2"
        )


def split_patients(
    diagnosis: Mapping[str, bool], fractions: tuple[float, float, float], seed: int
) -> dict[str, Split]:
    """Assign each patient to one split, keeping the share of positives alike in all.

    Within each diagnosis the patients are shuffled and dealt out by the largest-remainder rule, so
    no split is off its share by a whole patient. Only the seed and the set of patients matter, not
    their order in the table.

    Args:
        diagnosis: patient -> positive.
        fractions: of training, validation and test; see ``require_fractions``.
        seed: any non-negative integer.
    """
    require_fractions(fractions)
    generator = np.random.default_rng([seed, 0x5EED])
    assigned: dict[str, Split] = {}
    for positive in (False, True):
        patients = sorted(name for name, value in diagnosis.items() if value is positive)
        order = generator.permutation(len(patients))
        start = 0
        for split, count in zip(SPLITS, _shares(len(patients), fractions), strict=True):
            for index in order[start : start + count]:
                assigned[patients[index]] = split
            start += count
    return assigned


def _shares(count: int, fractions: tuple[float, float, float]) -> list[int]:
    """Whole numbers nearest to ``count`` times each fraction, summing to ``count``."""
    exact = [count * fraction for fraction in fractions]
    shares = [int(value + 1e-9) for value in exact]
    remainders = sorted(range(len(exact)), key=lambda i: (shares[i] - exact[i], i))
    for index in remainders[: count - sum(shares)]:
        shares[index] += 1
    return shares
