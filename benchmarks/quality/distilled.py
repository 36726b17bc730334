"""The distilled side: a hospital's distillation, the way of pooling, and the networks."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from pydantic import JsonValue

from benchmarks.quality.claims import Facts, Watch
from benchmarks.quality.fold import RUN, Fold
from benchmarks.quality.network import Network
from gdshare.distill.folder import RECORD, read_record, read_result
from gdshare.distill.loop import Tick, distill
from gdshare.distill.settings import Settings
from gdshare.draws import derived_seed
from gdshare.errors import RunError, UsageError
from gdshare.pooling import SCHEMES, Contribution, Scheme, train_pooled
from gdshare.training import sample_patches


def distil_site(fold: Fold, arm: Settings, site: str, folder: Path, watch: Watch) -> Facts:
    """The piece that distils one hospital's training patches of one fold on one arm's network."""
    cohort = fold.cohorts[fold.sites.index(site)]
    settings = fold.plan.settings_of(arm, site, fold.number)
    run = folder / RUN
    begun = (run / RECORD).exists()
    if not begun:
        shutil.rmtree(run, ignore_errors=True)  # an attempt killed before it wrote its record

    def progress(tick: Tick) -> None:
        if tick.step % settings.checkpoint_every == 0:
            watch.keep()

    outcome = distill(cohort, run, settings, resume=begun, progress=progress)
    return {
        "patch_score": outcome.score.mean,
        "patch_score_deviation": outcome.score.deviation,
        "step": outcome.step,
        "at_chance": outcome.at_chance,
    }


def contributions(fold: Fold, arm: Settings) -> list[Contribution]:
    """What every hospital's finished distillation of one arm brings to a pooled training."""
    found = []
    for site in fold.sites:
        run = fold.run(arm, site)
        record = read_record(run)
        found.append(
            Contribution(
                site,
                read_result(run),
                record.settings.method(),
                record.initialiser,
                record.counts.patients,
                record.theta0_sha256,
            )
        )
    return found


def choose_scheme(fold: Fold, arm: Settings, folder: Path, watch: Watch) -> Facts:
    """The piece that chooses an arm's way of pooling by patch scores on validation patients.

    Raises:
        RunError: no way of pooling stays within the range of numbers.
    """
    plan = fold.plan
    seed = plan.seed_of("scheme", fold.number)
    per_class = plan.score_patches * len(fold.sites)
    x, classes = sample_patches(fold.cohorts, "val", per_class, seed)
    scores: dict[Scheme, list[float]] = {}
    for scheme in plan.schemes:
        try:
            networks = pooled(fold, arm, scheme, "scheme", plan.scheme_networks)
        except UsageError:  # it does not stay within the range of numbers
            continue
        scores[scheme] = [network.patch_score(x, classes) for network in networks]
    if not scores:
        raise RunError(f"{folder}: no way of pooling trains a network; distil with other settings")
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

    Args:
        fold: whose distillations to use.
        arm: of which network.
        scheme: the way of pooling.
        purpose: another purpose gives other θ0.
        count: of networks.
    """
    brought = contributions(fold, arm)
    seed = fold.plan.seed_of(f"theta0-{purpose}", fold.number)
    return [
        Network.of(
            train_pooled(brought, fold.plan.protocol, scheme, derived_seed(seed, "theta0", number))
        )
        for number in range(count)
    ]
