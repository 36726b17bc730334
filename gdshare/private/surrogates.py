"""What the images are distilled against: drawn features whose class means are the statistic's.

The outer loss of squares is a function of means and second moments of features. The means come from
the noisy statistic, the second moments from drawn films; together they are features of patches that
no patient has. Distillation takes them for a hospital's patches, and needs no other word of it.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gdshare.private.reference import Reference


def surrogates(means: npt.NDArray[np.float64], reference: Reference) -> tuple[Tensor, Tensor]:
    """Features with these class means and the reference's scatter.

    Args:
        means: float64 [3, k], of the classes.
        reference: its scatter is divided among the classes.

    Returns:
        conditioned features float32 [n, F], and classes int64 [n].
    """
    classes = np.arange(len(reference.scatter)) % len(means)
    centres = reference.background + means @ reference.lift.T  # [3, F]
    features = reference.scatter + centres.astype(np.float32)[classes]
    return torch.from_numpy(features), torch.from_numpy(classes.astype(np.int64))
