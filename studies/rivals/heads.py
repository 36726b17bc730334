"""A network's last layer by ridge regression, from sums over patches alone."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gdshare.networks import Parameters
from gdshare.protocol import CLASSES
from studies.rivals.images import one_hot


def moments(points: Tensor, classes: Tensor) -> Tensor:
    """All that regression needs of n patches: ZᵀZ / n, float64, with rows (features, 1, label)."""
    ones = torch.ones(len(points), 1)
    rows = torch.cat([points, ones, one_hot(classes)], 1).double()  # [n, features + 1 + classes]
    return rows.T @ rows / len(rows)


def ridge(sums: Tensor, penalty: float, names: Sequence[str]) -> Parameters:
    """The last layer, by the ``names`` of its weight and bias; the bias goes free.

    ``penalty`` counts in means of the features' squares, so that it does not depend on their scale.
    """
    features = len(sums) - len(CLASSES) - 1
    gram, targets = sums[: features + 1, : features + 1], sums[: features + 1, features + 1 :]
    diagonal = gram.diagonal()[:features].mean().repeat(features + 1) * penalty
    diagonal[-1] = 0
    solution = torch.linalg.solve(gram + torch.diag(diagonal), targets).T.float()
    weight, bias = solution[:, :features].contiguous(), solution[:, features].contiguous()
    return {names[0]: weight, names[1]: bias}
