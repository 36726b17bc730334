"""Do images that were distilled on one network train another?

The learned rates suit one network's scale, so for each pair a factor on all of them is chosen on
validation windows. What is reported is the patch score on test windows with that factor, from θ0
that had no part in the choice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import log

import torch
from pydantic import JsonValue, TypeAdapter
from torch import Tensor, nn

from gdshare.distill.run_folder import read_result
from gdshare.distill.score import tensors_of
from gdshare.distill.score_record import CHANCE
from gdshare.distill.unroll import InnerData, trajectory_end
from gdshare.method import Settings
from gdshare.networks import Parameters, build, draw
from gdshare.patch_tensors import patch_accuracy, sample_patches
from gdshare.seeding import torch_generator
from studies.networks import RUN
from studies.quality.networks import IMAGES, cohorts_of
from studies.quality.plan import Crossing
from studies.runner import Piece, Result
from studies.tables import mean

Windows = tuple[Tensor, Tensor]  # float32 [n, 1, side, side] normalised, and int64 [n] classes


@dataclass(frozen=True)
class CrossSite:
    arms: tuple[Settings, ...]
    crossing: Crossing
    score_patches: int


@dataclass(frozen=True)
class Crossed:
    """One hospital's images of one network, tried on another in one fold."""

    giver: str  # the network they were distilled on
    receiver: str  # the network they train
    factor: float  # on the learned rates, chosen on validation windows
    tried: dict[str, float]  # every factor -> mean patch score on validation windows
    values: list[float]  # of each fresh θ0, the patch score on test windows


@dataclass(frozen=True)
class Receiver:
    """A network to be trained; the seed decides every θ0, the same for every giver."""

    name: str
    module: nn.Module
    seed: int

    def inits(self, purpose: str, count: int) -> list[Parameters]:
        return [
            draw(self.name, self.module, torch_generator(self.seed, f"cross-{purpose}", number))
            for number in range(count)
        ]


def cross_site(piece: Piece, parameters: CrossSite) -> Result:
    """The cell that tries one hospital's images of every arm on every arm's network."""
    (cohort,) = cohorts_of(piece)
    val = sample_patches([cohort], "val", parameters.score_patches, piece.seed)
    test = sample_patches([cohort], "test", parameters.score_patches, piece.seed)
    pairs: list[JsonValue] = []
    for arm in parameters.arms:
        module = build(arm.network, cohort.protocol.side)
        receiver = Receiver(arm.network, module, piece.seed)
        for giver in parameters.arms:
            distilled = read_result(piece.needs[IMAGES + giver.network].folder / RUN)
            data = tensors_of(distilled, giver.sets, torch.device("cpu"))
            pairs.append(asdict(crossed(giver, data, receiver, parameters.crossing, val, test)))
    return Result({"pairs": pairs})


def read_crossed(result: Result) -> list[Crossed]:
    return TypeAdapter(list[Crossed]).validate_python(result.facts["pairs"])


def crossed(
    giver: Settings,
    data: InnerData,
    receiver: Receiver,
    crossing: Crossing,
    val: Windows,
    test: Windows,
) -> Crossed:
    """Choose a factor on validation windows, and judge it on test windows."""
    module, steps = receiver.module, giver.trajectory

    def scores(factor: float, inits: Sequence[Parameters], windows: Windows) -> list[float]:
        scaled = replace(data, rates=data.rates * factor)
        return [trained_score(module, theta0, scaled, steps, windows) for theta0 in inits]

    choosing = receiver.inits("choose", crossing.choosing)
    tried = {factor: mean(scores(factor, choosing, val)) for factor in crossing.factors}
    best = best_factor(tried)
    judged = scores(best, receiver.inits("judge", crossing.judging), test)
    named = {f"{factor:g}": score for factor, score in tried.items()}
    return Crossed(giver.network, receiver.name, best, named, judged)


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
