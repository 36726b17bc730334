"""Do images that were distilled on one network train another?

Images, labels and learned rates of one hospital train every arm's network, its own among them. The
rates were learned for one network's scale, so for each pair a factor on all of them is chosen on
validation windows. What is told is the patch score on test windows with that factor, from θ0 that
had no part in the choice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import log
from pathlib import Path

import torch
from pydantic import JsonValue, TypeAdapter
from torch import Tensor, nn

from benchmarks.pieces.claims import Facts, Watch
from benchmarks.quality.fold import Fold
from benchmarks.quality.plan import Crossing
from benchmarks.quality.spread import mean
from gdshare.distill.run_folder import read_result
from gdshare.distill.score import CHANCE, tensors_of
from gdshare.distill.unroll import InnerData, trajectory_end
from gdshare.method import Settings
from gdshare.networks import Parameters, build, draw
from gdshare.patch_tensors import patch_accuracy, sample_patches
from gdshare.seeding import torch_generator

Windows = tuple[Tensor, Tensor]
"""Float32 [n, 1, side, side] normalised, and int64 [n] classes."""


@dataclass(frozen=True)
class Crossed:
    """One hospital's images of one network, tried on another in one fold.

    Attributes:
        giver: the network they were distilled on.
        receiver: the network they train.
        factor: on the learned rates, chosen on validation windows.
        tried: every factor, as text -> mean patch score on validation windows.
        values: of each fresh θ0, the patch score on test windows.
    """

    giver: str
    receiver: str
    factor: float
    tried: dict[str, float]
    values: list[float]


@dataclass(frozen=True)
class Transfer:
    """How well images of one network train another.

    Attributes:
        giver: the network they were distilled on.
        receiver: the network they train.
        scores: of each fold and hospital, the mean patch score over fresh θ0.
        factors: of each of them, the factor that was chosen.
    """

    giver: str
    receiver: str
    scores: list[float]
    factors: list[float]


@dataclass(frozen=True)
class Receiver:
    """A network to be trained.

    Attributes:
        name: in ``gdshare.networks``.
        module: its shape.
        seed: decides every θ0; the same for every giver.
    """

    name: str
    module: nn.Module
    seed: int

    def inits(self, purpose: str, count: int) -> list[Parameters]:
        """Fresh initial weights; another purpose gives others."""
        return [
            draw(self.name, self.module, torch_generator(self.seed, f"cross-{purpose}", number))
            for number in range(count)
        ]


def cross_site(fold: Fold, site: str, folder: Path, watch: Watch) -> Facts:
    """The piece that tries one hospital's images of every arm on every arm's network."""
    plan = fold.plan
    cohort = fold.cohorts[fold.sites.index(site)]
    seed = plan.seed_of(f"cross-{site}", fold.number)
    val = sample_patches([cohort], "val", plan.score_patches, seed)
    test = sample_patches([cohort], "test", plan.score_patches, seed)
    pairs: list[JsonValue] = []
    for arm in plan.arms:
        receiver = Receiver(arm.network, build(arm.network, plan.protocol.side), seed)
        for giver in plan.arms:
            distilled = read_result(fold.run(giver, site))
            data = tensors_of(distilled, giver.sets, torch.device("cpu"))
            pairs.append(asdict(crossed(giver, data, receiver, plan.crossing, val, test)))
    return {"pairs": pairs}


def crossed(
    giver: Settings,
    data: InnerData,
    receiver: Receiver,
    crossing: Crossing,
    val: Windows,
    test: Windows,
) -> Crossed:
    """Choose a factor on validation windows, and judge it on test windows."""

    def scores(factor: float, inits: Sequence[Parameters], windows: Windows) -> list[float]:
        scaled = replace(data, rates=data.rates * factor)
        return [
            trained_score(receiver.module, theta0, scaled, giver.trajectory, windows)
            for theta0 in inits
        ]

    choosing = receiver.inits("choose", crossing.choosing)
    tried = {factor: mean(scores(factor, choosing, val)) for factor in crossing.factors}
    factor = best_factor(tried)
    return Crossed(
        giver.network,
        receiver.name,
        factor,
        {f"{one:g}": score for one, score in tried.items()},
        scores(factor, receiver.inits("judge", crossing.judging), test),
    )


def trained_score(
    module: nn.Module, theta0: Parameters, data: InnerData, steps: int, windows: Windows
) -> float:
    """Train on distilled data and score the end on real windows; chance where it is not finite."""
    end = trajectory_end(module, theta0, data, steps)
    finite = all(bool(weight.isfinite().all()) for weight in end.values())
    return patch_accuracy(module, end, *windows) if finite else CHANCE


def best_factor(tried: Mapping[float, float]) -> float:
    """The factor of best score; among equals the one that changes the learned rates least."""
    return max(tried, key=lambda factor: (tried[factor], -abs(log(factor))))


def read_crossed(fold: Fold, site: str) -> list[Crossed]:
    """What ``cross_site`` found.

    Raises:
        RunError: it is not done, or its record is damaged.
    """
    pairs = fold.facts(fold.cross(site))["pairs"]
    return TypeAdapter(list[Crossed]).validate_python(pairs)


def transfers(folds: Sequence[Fold]) -> list[Transfer]:
    """Every pair of networks over all folds and hospitals.

    Raises:
        RunError: a piece is not done, or damaged.
    """
    found = [read_crossed(fold, site) for fold in folds for site in fold.sites]
    return [
        Transfer(
            pairs[0].giver,
            pairs[0].receiver,
            [mean(one.values) for one in pairs],
            [one.factor for one in pairs],
        )
        for pairs in zip(*found, strict=True)
    ]
