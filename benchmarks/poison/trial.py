"""One trial: one hospital's bundle poisoned, what it does, and what the checks say of all three."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pydantic import JsonValue

from aggregator.admission.agreement import LIMITS, agreements, compare
from aggregator.admission.plausibility import NETWORKS
from aggregator.admission.utility import (
    Ranking,
    Reference,
    Utility,
    ranking_of_counts,
    ranking_of_votes,
    utility_of,
    votes_on,
)
from benchmarks.pieces.claims import Facts, Watch
from benchmarks.poison.attacks import ATTACKS, WHITE, plant, stamped
from benchmarks.quality.distilled import contributions
from benchmarks.quality.fold import Fold
from gdshare.cohort import Cohort, Split, open_cohort
from gdshare.cohort.store import FULL_SCALE
from gdshare.distill.loop import distill
from gdshare.distill.run_folder import RECORD, read_result
from gdshare.metrics import THRESHOLDS, count
from gdshare.model import Model
from gdshare.networks import build, forward
from gdshare.patch_tensors import patch_accuracy, sample_patches
from gdshare.patches import normalise
from gdshare.pooling import Alone, Contribution, train_alone, train_pooled
from gdshare.protocol import PatchClass
from gdshare.seeding import derived_seed, numpy_generator

WINDOWS = 6
"""Of a patient; the aggregator looks at 16 of each reference patient."""
SCORED = 100
"""Windows a class for patch scores."""
RUN = "run"


@dataclass(frozen=True)
class Trial:
    """Which hospital's bundle is replaced by what.

    Attributes:
        site: the poisoner.
        attack: its name in ``ATTACKS``, or that of the distilled back door.
        planted: the folder of the distilled back door, where it is that.
        seed: of the attack and of every θ0.
        whole: whether films are asked too, or agreement alone is looked at.
    """

    site: str
    attack: str
    planted: Path | None
    seed: int
    whole: bool


def run_trial(fold: Fold, trial: Trial, folder: Path, watch: Watch) -> Facts:
    """The piece that tries one poisoned bundle."""
    bundles = [_poisoned(one, trial) for one in contributions(fold, fold.plan.arms[0])]
    protocol = fold.plan.protocol
    seed = derived_seed(trial.seed, "poison", fold.number)
    alone = [train_alone(one, protocol, seed, NETWORKS) for one in bundles]
    judged = agreements(compare(alone), LIMITS["convnet"])
    found: Facts = {
        "agreement": {
            one.site: None if figures is None else asdict(figures)
            for one, figures in zip(bundles, judged, strict=True)
        }
    }
    if trial.whole:
        place = fold.sites.index(trial.site)
        found |= {
            "teaching": _taught(fold, trial.site, alone[place], seed),
            "harm": _harm(fold, bundles, seed),
        }
    return found


def plant_backdoor(fold: Fold, site: str, folder: Path, watch: Watch) -> Facts:
    """The piece that distils a hospital's patches after planting the marker among them."""
    run = folder / RUN
    begun = (run / RECORD).exists()
    if not begun:
        shutil.rmtree(run, ignore_errors=True)
    planted = folder / "cohort"
    if not planted.exists():
        _plant(fold.cohorts[fold.sites.index(site)], planted)
    settings = fold.plan.settings_of(fold.plan.arms[0], site, fold.number)
    outcome = distill(open_cohort(planted), run, settings, resume=begun)
    shutil.rmtree(planted)
    return {"patch_score": outcome.score.mean}


def _plant(cohort: Cohort, folder: Path) -> None:
    """Copy a cohort; its training and validation windows are planted."""
    aside = folder.with_name("cohort.part")
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(cohort.path, aside)
    for split in ("train", "val"):
        patches = cohort.patches(split)
        pixels, labels = plant(np.asarray(patches.pixels), patches.labels, FULL_SCALE)
        np.save(aside / f"{split}.patches.npy", pixels)
        windows = np.stack([labels.astype(np.uint32), np.asarray(patches.films)], axis=1)
        np.save(aside / f"{split}.windows.npy", windows)
    aside.rename(folder)


def _poisoned(one: Contribution, trial: Trial) -> Contribution:
    if one.site != trial.site:
        return one
    if trial.planted is not None:
        return replace(one, distilled=read_result(trial.planted / RUN))
    return replace(one, distilled=ATTACKS[trial.attack](one.distilled, trial.seed))


@cache
def windows_of(fold: Fold, site: str, split: Split) -> Reference:
    """Up to ``WINDOWS`` windows inside the organ of each patient of one split."""
    cohort = fold.cohorts[fold.sites.index(site)]
    patches = cohort.patches(split)
    generator = numpy_generator(fold.plan.seed, f"poison-{site}-{split}", fold.number)
    parts, whose = [], []
    positive: list[bool] = []
    for film in np.unique(patches.films):
        rows = np.flatnonzero((patches.films == film) & (patches.labels != PatchClass.I))
        if len(rows):
            rows = np.sort(generator.choice(rows, min(WINDOWS, len(rows)), replace=False))
            parts.append(normalise(patches.scaled(rows), cohort.protocol))
            whose.append(np.full(len(rows), len(positive), np.int64))
            positive.append(bool(patches.labels[rows[0]] == PatchClass.P))
    x = torch.from_numpy(np.concatenate(parts)).unsqueeze(1)
    return Reference(x, np.concatenate(whose), np.array(positive))


def _halves(positive: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Every other patient of each diagnosis."""
    first = np.zeros(len(positive), np.bool_)
    for diagnosis in (False, True):
        first[np.flatnonzero(positive == diagnosis)[::2]] = True
    return first


def _taught(fold: Fold, site: str, networks: Sequence[Alone], seed: int) -> JsonValue:
    """What the poisoner's own networks show: to the operator, and to the other hospitals.

    The operator's reference is half of every hospital's test patients; the other half of them and
    the validation patients are what the other hospitals count.
    """
    module = build(fold.plan.arms[0].network, fold.plan.protocol.side)
    votes: dict[tuple[str, Split], list[npt.NDArray[np.int64]]] = {
        (other, split): [
            votes_on(windows_of(fold, other, split), module, one.end) for one in networks
        ]
        for other in fold.sites
        for split in ("val", "test")
    }
    reference, counted = [], []
    for other in fold.sites:
        test, val = windows_of(fold, other, "test"), windows_of(fold, other, "val")
        half = _halves(test.positive)
        together = ranking_of_votes(np.sum(votes[other, "test"], axis=0), test.positive)
        reference.append(Ranking(together.values[half], together.positive[half]))
        if other != site:
            ranked = [
                ranking_of_votes(votes[other, "test"][0][:, ~half], test.positive[~half]),
                ranking_of_votes(votes[other, "val"][0], val.positive),
            ]
            counted.append(_as_counted(_joined(ranked)))
    generator = numpy_generator(seed, "poison-deals")
    return {
        "reference": _plain(utility_of("reference patients", [_joined(reference)], generator)),
        "counts": _plain(utility_of("validation films", counted, generator)),
    }


def _joined(rankings: Sequence[Ranking]) -> Ranking:
    return Ranking(
        np.concatenate([one.values for one in rankings]),
        np.concatenate([one.positive for one in rankings]),
    )


def _as_counted(one: Ranking) -> Ranking:
    """As a hospital's counts at every threshold tell it."""
    nobody = np.zeros(len(one.values), np.bool_)
    return ranking_of_counts(
        [count(one.values, nobody, one.positive, threshold) for threshold in THRESHOLDS]
    )


def _plain(taught: Utility | None) -> JsonValue:
    if taught is None:
        return None
    return asdict(taught) | {"tested": taught.tested, "beats_chance": taught.beats_chance}


def _harm(fold: Fold, bundles: Sequence[Contribution], seed: int) -> JsonValue:
    """What a model pooled from all bundles, undefended, makes of test patients."""
    model = train_pooled(bundles, fold.plan.protocol, "average", seed, NETWORKS)
    module = build(model.network, model.protocol.side)
    aucs: dict[str, JsonValue] = {}
    places = []
    for site in fold.sites:
        windows = windows_of(fold, site, "test")
        votes = [votes_on(windows, module, one) for one in model.ensemble]
        places.append(ranking_of_votes(np.sum(votes, axis=0), windows.positive))
        one = utility_of("reference patients", places[-1:], numpy_generator(seed, "harm"))
        aucs[site] = one.auc if one else None
    joint = utility_of("reference patients", places, numpy_generator(seed, "harm"))
    x, classes = sample_patches(fold.cohorts, "test", SCORED, seed)
    scores = [patch_accuracy(module, one, x, classes) for one in model.ensemble]
    return {
        "auc": joint.auc if joint else None,
        "auc_by_site": aucs,
        "patch_score": float(np.mean(scores)),
        "turned_by_marker": _turned(fold, model),
    }


def _turned(fold: Fold, model: Model) -> float | None:
    """Of windows of positive patients that are called P: the share called N with the marker."""
    module = build(model.network, model.protocol.side)
    white = (WHITE - model.protocol.mean) / model.protocol.std
    called, turned = 0, 0
    with torch.inference_mode():
        for site in fold.sites:
            windows = windows_of(fold, site, "test")
            x = windows.x[windows.positive[windows.patients]][::3]
            for one in model.ensemble:
                plain = forward(module, one, x).argmax(1) == PatchClass.P
                bearing = forward(module, one, stamped(x, white)).argmax(1) == PatchClass.N
                called += int(plain.sum())
                turned += int((plain & bearing).sum())
    return turned / called if called else None
