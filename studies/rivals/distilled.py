"""The rival that all others are measured against: images distilled by the defaults."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import partial
from statistics import mean

import torch

from gdshare.networks import Parameters
from gdshare.pooling import Contribution, train_pooled
from studies.quality.networks import IMAGES, contributions_of
from studies.quality.plan import NETWORKS
from studies.rivals.cells import Row, Scene, Work, size
from studies.rivals.sending import attack
from studies.runner import Piece, Result


@dataclass(frozen=True)
class Distilled:
    """Images that hospitals distilled in cells of their own, which this one needs."""

    images: int  # of a hospital
    attacked: bool


def send_distilled(piece: Piece, work: Work) -> Result:
    """One row: what ``gdshare aggregate`` makes of the images by the defaults."""
    how: Distilled = work.how
    brought = contributions_of(piece)
    network = brought[0].method.network
    scene = Scene.of(piece, work, network)

    def pooled(parts: Sequence[Contribution], site: int = 0) -> Parameters:
        (weights,) = train_pooled(parts, scene.cohorts[0].protocol, "average", 0).ensemble
        return weights

    theta = pooled(brought)
    sets = [[torch.from_numpy(array) for array in astuple(own.distilled)] for own in brought]
    audit = ""
    if how.attacked:
        audit = attack(scene, [own[0] for own in sets], [partial(pooled, [own]) for own in brought])
    costs = [need.result.cpu_seconds for r, need in piece.needs.items() if r.startswith(IMAGES)]
    row = Row(
        f"{how.images} distilled images, {NETWORKS[network]}",
        round(mean(size(*own) for own in sets)),
        size(*theta.values()),
        mean(costs),
        rounds=1,
        audit=audit,
        score=scene.score()(theta),
        network=network,
    )
    return scene.keep([(row, [theta])])
