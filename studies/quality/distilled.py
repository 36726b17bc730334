"""The distilled side: a hospital's distillation, the way of pooling, and the networks."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import torch
from pydantic import JsonValue

from gdshare.cohort import Cohort, open_cohort
from gdshare.errors import DivergedError
from gdshare.method import Settings
from gdshare.networks import build
from gdshare.pooling import SCHEMES, Contribution, Scheme, train_pooled
from gdshare.protocol import Protocol
from gdshare.seeding import derived_seed
from gdshare.training import sample_patches
from studies.distilling import contributions, distil_in_piece
from studies.hospitals import COHORT
from studies.network import Network
from studies.quality.plan import seed_of
from studies.runner import Piece, Result

COHORTS, IMAGES = "cohort-", "images-"  # roles, each followed by a hospital's name


@dataclass(frozen=True)
class Choosing:
    """How a fold's way of pooling is chosen."""

    fold: int
    schemes: tuple[Scheme, ...]  # to choose from
    networks: int  # θ0 that each is tried from
    score_patches: int  # validation patches of each class and site, at most


def cohorts_of(piece: Piece) -> list[Cohort]:
    """The cohorts that a cell needs, in the order of their hospitals."""
    return [
        open_cohort(need.folder / COHORT)
        for role, need in piece.needs.items()
        if role.startswith(COHORTS)
    ]


def contributions_of(piece: Piece) -> list[Contribution]:
    """The distillations that a cell needs, in the order of their hospitals."""
    return contributions(
        (role.removeprefix(IMAGES), need.folder)
        for role, need in piece.needs.items()
        if role.startswith(IMAGES)
    )


def distil_site(piece: Piece, settings: Settings) -> Result:
    """The cell that distils one hospital's training patches of one fold on one arm's network."""
    (cohort,) = cohorts_of(piece)
    outcome = distil_in_piece(cohort, settings, piece)
    return Result(
        {
            "patch_score": outcome.score.mean,
            "patch_score_deviation": outcome.score.deviation,
            "step": outcome.step,
            "at_chance": outcome.at_chance,
        }
    )


def choose_scheme(piece: Piece, choosing: Choosing) -> Result:
    """The cell that chooses an arm's way of pooling by patch scores on validation patients."""
    cohorts, brought = cohorts_of(piece), contributions_of(piece)
    seed = seed_of(piece.seed, "scheme", choosing.fold)
    x, classes = sample_patches(cohorts, "val", choosing.score_patches * len(cohorts), seed)
    theta0 = seed_of(piece.seed, "theta0-scheme", choosing.fold)
    scores: dict[Scheme, list[float]] = {}
    for scheme in choosing.schemes:
        networks = pooled(brought, cohorts[0].protocol, scheme, theta0, choosing.networks)
        scores[scheme] = [network.patch_score(x, classes) for network in networks]
    best = max(scores, key=lambda scheme: mean(scores[scheme]))
    listed: dict[str, JsonValue] = {scheme: list(values) for scheme, values in scores.items()}
    return Result({"scheme": best, "scores": listed})


def pooled(
    brought: Sequence[Contribution], protocol: Protocol, scheme: str, seed: int, count: int
) -> list[Network]:
    """So many networks trained on all hospitals' distilled images, each from a θ0 of its own.

    One that does not stay finite is kept as one that calls every window I.
    """
    way = next(one for one in SCHEMES if one == scheme)
    return [_network(brought, protocol, way, derived_seed(seed, "theta0", n)) for n in range(count)]


def _network(
    brought: Sequence[Contribution], protocol: Protocol, scheme: Scheme, seed: int
) -> Network:
    try:
        return Network.of(train_pooled(brought, protocol, scheme, seed))
    except DivergedError:
        module = build(brought[0].method.network, protocol.side)
        # Weights of 0 give equal logits, of which the first class is called.
        return Network(module, {n: torch.zeros(p.shape) for n, p in module.named_parameters()})
