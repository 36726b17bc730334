"""Images that a hospital might send instead of distilled ones.

Medoids are patches of real patients. Matched images begin as noise, as distilled ones do: those of
the source begin as real patches, which no hospital could release.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from gdshare.last_layer import one_hot
from gdshare.networks import Parameters, draw, forward
from gdshare.patch_tensors import FORWARD_BATCH
from gdshare.protocol import CLASSES
from gdshare.seeding import torch_generator
from studies.rivals.fit import Data

ITERATIONS = 50  # of k-medoids, at most


def features(module: nn.Module, theta: Parameters, x: Tensor) -> Tensor:
    """What a network's last layer reads: float32 [n, 1, side, side] -> [n, features]."""
    body = cast("nn.Sequential", module)[:-1]
    own = {name: theta[name] for name, _ in body.named_parameters()}
    return forward(body, own, x)


@torch.inference_mode()
def all_features(module: nn.Module, theta: Parameters, x: Tensor) -> Tensor:
    """The same without a gradient, in bounded memory."""
    return torch.cat([features(module, theta, part) for part in torch.split(x, FORWARD_BATCH)])


def drawn(data: Data, count: int, generator: torch.Generator) -> Data:
    """Patches chosen by chance, of every class as many, labelled one-hot."""
    x, classes = data
    order = torch.randperm(len(x), generator=generator)
    each = count // len(CLASSES)
    rows = torch.cat([order[classes[order] == label][:each] for label in range(len(CLASSES))])
    return x[rows], one_hot(classes[rows])


def medoids(points: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """K-medoids by alternation (Park and Jun 2009), from a start as of k-means++.

    Returns:
        int64 [count], the rows of the medoids; int64 [n], the cluster of each of the ``points``
        [n, features].
    """
    distances = torch.cdist(points, points)  # [n, n]
    rows = torch.randint(len(points), (1,), generator=generator)
    while len(rows) < count:
        chance = distances[:, rows].amin(1) ** 2 + 1e-12  # points may lie on one another
        chance[rows] = 0
        rows = torch.cat([rows, torch.multinomial(chance, 1, generator=generator)])
    for _ in range(ITERATIONS):
        owner, before = distances[:, rows].argmin(1), rows
        clusters = [(owner == cluster).nonzero()[:, 0] for cluster in range(count)]
        rows = torch.stack(
            [
                own[distances[own][:, own].sum(1).argmin()] if len(own) else row
                for own, row in zip(clusters, before, strict=True)
            ]
        )
        if rows.equal(before):
            break
    return rows, distances[:, rows].argmin(1)


def soft_medoids(points: Tensor, data: Data, count: int, generator: torch.Generator) -> Data:
    """Medoids of a hospital's patches, each labelled with the mean label of its cluster."""
    x, classes = data
    rows, owner = medoids(points, count, generator)
    hard = one_hot(classes)
    empty = hard[rows]  # of a medoid that lies on another, its own label
    labels = [hard[owner == k].mean(0) if (owner == k).any() else empty[k] for k in range(count)]
    return x[rows], torch.stack(labels)


@dataclass(frozen=True)
class Matching:
    """Distribution matching (Zhao and Bilen, WACV 2023): mean features, class by class."""

    steps: int = 200
    batch: int = 32  # real patches of each class a step
    rate: float = 0.1  # Adam's


def matched(
    network: str, module: nn.Module, data: Data, counts: Sequence[int], plan: Matching, seed: int
) -> tuple[list[Data], list[float]]:
    """Images whose mean features, class by class, are those of real patches in random networks.

    Sets of several sizes are learned side by side, from the same networks and patches.

    Args:
        network, module: ConvNets are drawn anew at each step; scattering is always the same.
        data: real patches, float32 [n, 1, side, side] and int64 [n].
        counts: images of each set, a multiple of the classes.
        plan: every setting.
        seed: decides every draw.

    Returns:
        the sets, labelled one-hot, and the CPU-seconds that each would have taken alone.
    """
    x, classes = data
    noise = torch_generator(seed, "matched-noise")
    own = [(classes == label).nonzero()[:, 0] for label in range(len(CLASSES))]
    each = [count // len(CLASSES) for count in counts]
    shapes = [(len(CLASSES) * count, *x.shape[1:]) for count in each]
    sets = [torch.randn(shape, generator=noise).requires_grad_() for shape in shapes]
    optimisers = [torch.optim.Adam([images], lr=plan.rate) for images in sets]
    shared, alone = 0.0, [0.0] * len(counts)
    for step in range(plan.steps):
        began = time.process_time()
        draws = torch_generator(seed, "matched", step)
        theta = draw(network, module, draws)
        picked = [rows[torch.randint(len(rows), (plan.batch,), generator=draws)] for rows in own]
        with torch.inference_mode():
            means = _class_means(features(module, theta, x[torch.cat(picked)]))
        shared += time.process_time() - began
        for place, (images, optimiser) in enumerate(zip(sets, optimisers, strict=True)):
            began = time.process_time()
            gap = _class_means(features(module, theta, images)) - means
            optimiser.zero_grad()
            (gap**2).sum().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            alone[place] += time.process_time() - began
    labels = [one_hot(torch.arange(len(CLASSES)).repeat_interleave(count)) for count in each]
    learned = [(images.detach(), own) for images, own in zip(sets, labels, strict=True)]
    return learned, [shared + seconds for seconds in alone]


def _class_means(points: Tensor) -> Tensor:
    """Of points in the order of their classes, equally many of each: [n, features] -> [3, ...]."""
    return points.view(len(CLASSES), -1, points.shape[1]).mean(1)
