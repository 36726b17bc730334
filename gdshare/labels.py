"""The I / N / P rule (Li et al. 2020, section 3.1; method.md section 1)."""

import numpy as np
import numpy.typing as npt

from gdshare.protocol import PatchClass, Protocol

DISCARDED = 255
"""Label of a window that is neither outside nor inside enough."""


def label_windows(
    fractions: npt.NDArray[np.float64], positive: bool, protocol: Protocol
) -> npt.NDArray[np.uint8]:
    """Name each window I, N, P or discarded.

    Args:
        fractions: share of each window inside the organ, in [0, 1], any shape.
        positive: the patient's diagnosis.
        protocol: its bounds; both comparisons are strict.

    Returns:
        uint8 of the same shape: a ``PatchClass`` or ``DISCARDED``.
    """
    labels = np.full(fractions.shape, DISCARDED, np.uint8)
    labels[fractions < protocol.outside] = PatchClass.I
    labels[fractions > protocol.inside] = PatchClass.P if positive else PatchClass.N
    return labels
