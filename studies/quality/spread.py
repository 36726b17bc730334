"""Mean and deviation of a few figures."""

from collections.abc import Sequence

import numpy as np


def mean(values: Sequence[float]) -> float:
    """Their mean; NaN when one of them is."""
    return float(np.mean(values))


def deviation(values: Sequence[float]) -> float | None:
    """Their sample standard deviation; None of a single one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
