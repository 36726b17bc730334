"""The I / N / P rule (Li et al. 2020, section 3.1; method.md section 1)."""

import numpy as np
import numpy.typing as npt

from gdshare.protocol import PatchClass, Protocol

DISCARDED = 255
"""Label of a window between the two bounds: neither outside nor inside the organ."""


def label_windows(
    fractions: npt.NDArray[np.float64], positive: bool, protocol: Protocol
) -> npt.NDArray[np.uint8]:
    """Label each window I, N, P or discarded.

    Args:
        fractions: float64, any shape; the fraction of each window inside the organ, in [0, 1].
        positive: the patient's diagnosis.
        protocol: the bounds ``outside`` and ``inside``; both comparisons are strict.

    Returns:
        uint8, same shape: a ``PatchClass`` or ``DISCARDED``.
    """
    labels = np.full(fractions.shape, DISCARDED, np.uint8)
    labels[fractions < protocol.outside] = PatchClass.I
    labels[fractions > protocol.inside] = PatchClass.P if positive else PatchClass.N
    return labels
