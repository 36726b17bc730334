"""A last layer on fixed features, by least squares with a penalty: solved at once, not trained.

Ridge regression of one-hot classes on features (Hoerl and Kennard 1970). It needs sums over
patches alone, and has one solution; there is nothing to choose but the penalty. Shapes in the
comments::

    n  patches
    F  features, conditioned (``gdshare.distill.head.Body``)
    L  classes
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from gdshare.distill.head import Head
from gdshare.patch_tensors import balanced_accuracy
from gdshare.protocol import CLASSES

Data = tuple[Tensor, Tensor]
"""Conditioned features float32 [n, F], and labels float32 [n, L], one-hot or soft."""

PENALTIES = (10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6)
"""To choose from, the heaviest first; in means of the features' squares."""


def one_hot(classes: Tensor) -> Tensor:
    """Int64 [n] -> float32 [n, L]."""
    return functional.one_hot(classes, len(CLASSES)).float()


def moments(features: Tensor, labels: Tensor) -> Tensor:
    """All that the regression needs of patches: the mean of zzᵀ, z = (features, 1, labels).

    Args:
        features: float32 [n, F].
        labels: float32 [n, L].

    Returns:
        float64 [F + 1 + L, F + 1 + L] on the CPU. Hospitals' means can be averaged, and solved like
        one's own.
    """
    ones = features.new_ones(len(features), 1)
    z = torch.cat([features, ones, labels], 1).cpu().double()  # [n, F + 1 + L]
    return z.T @ z / len(z)


def ridge(sums: Tensor, penalty: float, prior: Head) -> Head:
    """The head W that minimises the mean of |Wφ + b - y|² plus the penalty times |W - W₀|².

    Args:
        sums: of ``moments``.
        penalty: above 0, in means of the features' squares, so that it does not depend on their
            scale. The bias is free.
        prior: has W₀, and the body.
    """
    features = len(sums) - len(CLASSES) - 1
    gram, wanted = sums[: features + 1, : features + 1], sums[: features + 1, features + 1 :]
    diagonal = gram.diagonal()[:features].mean().repeat(features + 1) * penalty
    diagonal[-1] = 0
    start = torch.cat([prior.weight, torch.zeros_like(prior.bias).unsqueeze(1)], 1).cpu().double()
    right = wanted + diagonal.unsqueeze(1) * start.T  # [F + 1, L]
    factor = torch.linalg.cholesky(gram + torch.diag(diagonal))
    solution = torch.cholesky_solve(right, factor).T.to(prior.weight)  # [L, F + 1]
    weight, bias = solution[:, :features].contiguous(), solution[:, features].contiguous()
    return replace(prior, weight=weight, bias=bias)


def score_of(head: Head, data: Data) -> float:
    """Patch score of a head on patches with one-hot labels, in [0, 1]."""
    return balanced_accuracy(head.logits(data[0]).argmax(1), data[1].argmax(1))


@dataclass(frozen=True)
class Solved:
    """A last layer, and what validation patches chose for it.

    Attributes:
        head: of best score.
        score: patch score, in [0, 1].
        penalty: one of ``PENALTIES``; None: ``head`` is the prior, which no penalty bettered.
        weight: of others' images; 0 without them.
    """

    head: Head
    score: float
    penalty: float | None
    weight: float


def solve(
    own: Data,
    validation: Data,
    prior: Head,
    others: Data | None = None,
    weights: Sequence[float] = (0.0,),
    keep_prior: bool = False,
    step: Callable[[], None] = lambda: None,
) -> Solved:
    """Solve at every penalty with the first weight, then with the others at the best penalty.

    Of equal scores the heavier penalty is kept.

    Args:
        own: patches to learn from.
        validation: patches to choose by, with one-hot labels.
        prior: what penalties draw the head towards.
        others: images, that count as own patches do at weight 1.
        weights: of ``others``, to try; at least one.
        keep_prior: whether the prior itself is a choice.
        step: called after each.
    """
    ours = moments(*own)
    theirs = torch.zeros(()) if others is None else moments(*others)

    def attempt(penalty: float, weight: float) -> Solved:
        head = ridge((ours + weight * theirs) / (1 + weight), penalty, prior)
        step()
        return Solved(head, score_of(head, validation), penalty, weight)

    tried = [Solved(prior, score_of(prior, validation), None, 0.0)] if keep_prior else []
    tried += [attempt(penalty, weights[0]) for penalty in PENALTIES]
    best = max(tried, key=lambda solved: solved.score)
    penalty = best.penalty or PENALTIES[0]
    return max([best, *(attempt(penalty, w) for w in weights[1:])], key=lambda solved: solved.score)
