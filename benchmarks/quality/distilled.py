"""The distilled side: a hospital's distillation, the way of pooling, and the networks."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import torch
from pydantic import JsonValue

from benchmarks.pieces.claims import Facts, Watch
from benchmarks.quality.fold import RUN, Fold
from benchmarks.quality.network import Network
from gdshare.cohort import Cohort
from gdshare.distill.loop import Outcome, Tick, distill
from gdshare.distill.run_folder import RECORD, read_record, read_result
from gdshare.errors import DivergedError, RunError
from gdshare.method import Settings
from gdshare.networks import INITIALISERS, build
from gdshare.patch_tensors import sample_patches
from gdshare.pooling import SCHEMES, Contribution, Scheme, contribution_from, train_pooled
from gdshare.seeding import derived_seed


def distil_site(fold: Fold, arm: Settings, site: str, folder: Path, watch: Watch) -> Facts:
    """The piece that distils one hospital's training patches of one fold on one arm's network."""
    cohort = fold.cohorts[fold.sites.index(site)]
    settings = fold.plan.settings_of(arm, site, fold.number)
    outcome = distil_in_piece(cohort, folder / RUN, settings, watch)
    return {
        "patch_score": outcome.score.mean,
        "patch_score_deviation": outcome.score.deviation,
        "step": outcome.step,
        "at_chance": outcome.at_chance,
    }


def distil_in_piece(cohort: Cohort, run: Path, settings: Settings, watch: Watch) -> Outcome:
    """Distil into the folder ``run`` of a piece, or go on with what a kill left there."""
    begun = (run / RECORD).exists()
    if not begun:
        shutil.rmtree(run, ignore_errors=True)  # an attempt killed before it wrote its record

    def progress(tick: Tick) -> None:
        if tick.step % settings.checkpoint_every == 0:
            watch.keep()

    return distill(cohort, run, settings, resume=begun, progress=progress)


def contributions(fold: Fold, arm: Settings) -> list[Contribution]:
    """What every hospital's finished distillation of one arm brings to a pooled training.

    Raises:
        RunError: one is not finished, or was made by a gdshare that draws θ0 in another way.
    """
    found = []
    for site in fold.sites:
        run = fold.run(arm, site)
        record = read_record(run)
        if record.initialiser != INITIALISERS[arm.network]:
            raise RunError(
                f"{run}: distilled for the θ0 scheme {record.initialiser}, and this gdshare draws "
                f"{INITIALISERS[arm.network]}; choose another --out"
            )
        found.append(contribution_from(site, read_result(run), record, record.counts.patients))
    return found


def choose_scheme(fold: Fold, arm: Settings, folder: Path, watch: Watch) -> Facts:
    """The piece that chooses an arm's way of pooling by patch scores on validation patients."""
    plan = fold.plan
    seed = plan.seed_of("scheme", fold.number)
    per_class = plan.score_patches * len(fold.sites)
    x, classes = sample_patches(fold.cohorts, "val", per_class, seed)
    scores: dict[Scheme, list[float]] = {}
    for scheme in plan.schemes:
        networks = pooled(fold, arm, scheme, "scheme", plan.scheme_networks)
        scores[scheme] = [network.patch_score(x, classes) for network in networks]
    best = max(scores, key=lambda scheme: mean(scores[scheme]))
    listed: dict[str, JsonValue] = {scheme: list(values) for scheme, values in scores.items()}
    return {"scheme": best, "scores": listed}


def scheme_of(fold: Fold, arm: Settings) -> Scheme:
    """The way of pooling that was chosen for an arm in a fold."""
    told = fold.facts(fold.scheme(arm))["scheme"]
    return next(scheme for scheme in SCHEMES if scheme == told)


def pooled(
    fold: Fold, arm: Settings, scheme: Scheme, purpose: str, count: int
) -> Sequence[Network]:
    """Networks trained on all hospitals' distilled images, each from a θ0 of its own.

    One that does not stay finite is kept as one that calls every window I.

    Args:
        fold: whose distillations to use.
        arm: of which network.
        scheme: the way of pooling.
        purpose: another purpose gives other θ0.
        count: of networks.
    """
    brought = contributions(fold, arm)
    seed = fold.plan.seed_of(f"theta0-{purpose}", fold.number)
    return [_network(brought, fold, scheme, derived_seed(seed, "theta0", n)) for n in range(count)]


def _network(brought: Sequence[Contribution], fold: Fold, scheme: Scheme, seed: int) -> Network:
    protocol = fold.plan.protocol
    try:
        return Network.of(train_pooled(brought, protocol, scheme, seed))
    except DivergedError:
        module = build(brought[0].method.network, protocol.side)
        # Weights of 0 give equal logits, of which the first class is called.
        return Network(module, {n: torch.zeros(p.shape) for n, p in module.named_parameters()})
