"""How well each tone makes hospitals alike: linear heads on the announced body, real patches.

For every tone and fold the last layer is fitted to all hospitals' patches, and to all but one
hospital's. Everything is judged on validation patients, so that a tone may be chosen by it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gdshare.cohort import Cohort
from gdshare.distill.head import Body, Head, body_of
from gdshare.last_layer import moments, one_hot, ridge
from gdshare.method import Method
from gdshare.networks import build
from gdshare.patch_tensors import balanced_accuracy, sample_patches
from gdshare.protocol import Tone
from gdshare.theta0 import announced_theta0
from studies.networks import Network
from studies.quality.networks import cohorts_of, show
from studies.runner import Piece, Result

HEADS = ("all hospitals", "without the one judged")
"""Whose patches train: the networks of a cell, in this order."""


@dataclass(frozen=True)
class Comparing:
    """What decides one tone's figures in one fold."""

    tone: Tone
    network: str = "convnet"
    theta0_number: int = 0  # that the announced θ0 is drawn from
    per_class: int = 1000  # training patches of each class and hospital, at most
    score_patches: int = 300  # validation patches of each class and hospital, at most
    penalties: tuple[float, ...] = (1e-3, 0.01, 0.1, 1.0, 10.0)  # of ridge; see ``best_head``
    stride: int = 52  # px between the windows of a film


@dataclass(frozen=True)
class Site:
    """What heads need of a hospital: moments of its training patches, and validation patches."""

    sums: Tensor
    features: Tensor  # float32 [n, F], conditioned
    classes: Tensor  # int64 [n]

    def score(self, head: Head) -> float:
        """Patch score on validation patients."""
        return balanced_accuracy(head.logits(self.features).argmax(1), self.classes)


def compare_tone(piece: Piece, comparing: Comparing) -> Result:
    """The cell of one tone in one fold: patch scores of heads, and validation films' votes."""
    cohorts, network = cohorts_of(piece), comparing.network
    side = cohorts[0].protocol.side
    module = build(network, side)
    announced = {"network": network, "train": "head", "theta0_number": comparing.theta0_number}
    body = body_of(network, side, announced_theta0(Method.model_validate(announced), module))
    sites = [_site(body, cohort, comparing, piece.seed) for cohort in cohorts]
    everyone, without = fitted_heads(body, sites, comparing.penalties)
    networks = [[Network(module, head.network()) for head in (everyone, own)] for own in without]
    seen = show(piece, cohorts, comparing.stride, lambda site: networks[site], splits=["val"])
    scores = [
        [site.score(everyone) for site in sites],
        [site.score(own) for site, own in zip(sites, without, strict=True)],
    ]
    return replace(seen, facts={**seen.facts, "patch_scores": [list(own) for own in scores]})


def fitted_heads(
    body: Body, sites: Sequence[Site], penalties: Sequence[float]
) -> tuple[Head, list[Head]]:
    """Fitted to all hospitals' patches; and for each hospital, to the others' patches."""
    without = [
        best_head(body, [other for other in sites if other is not site], penalties)
        for site in sites
    ]
    return best_head(body, sites, penalties), without


def best_head(body: Body, sites: Sequence[Site], penalties: Iterable[float]) -> Head:
    """By ridge regression on hospitals' patches, each hospital counting the same.

    Of the penalties the one of best mean score on these hospitals' validation patches is taken.
    """
    together = torch.stack([site.sums for site in sites]).mean(0)
    heads = [ridge(together, penalty, Head.zeros(body)) for penalty in penalties]
    return max(heads, key=lambda head: sum(site.score(head) for site in sites))


def _site(body: Body, cohort: Cohort, comparing: Comparing, seed: int) -> Site:
    x, classes = sample_patches([cohort], "train", comparing.per_class, seed)
    sums = moments(body.features_of(x), one_hot(classes))
    x, classes = sample_patches([cohort], "val", comparing.score_patches, seed)
    return Site(sums, body.features_of(x), classes)
