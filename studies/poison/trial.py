"""One trial: one hospital's bundle poisoned, what it does, and what the checks say of all three.

A poisoned bundle is a sound one, changed by a hospital that signs it itself.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import torch
from pydantic import JsonValue
from torch import Tensor, nn

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
from gdshare.cohort import Cohort, Split, open_cohort
from gdshare.cohort.store import FULL_SCALE
from gdshare.distill.run_folder import read_result
from gdshare.distilled import Distilled
from gdshare.method import Settings
from gdshare.metrics import THRESHOLDS, count
from gdshare.model import Model
from gdshare.networks import build, forward
from gdshare.patch_tensors import patch_accuracy, sample_patches
from gdshare.patches import normalise
from gdshare.pooling import Alone, Contribution, train_alone, train_pooled
from gdshare.protocol import PatchClass
from gdshare.seeding import derived_seed, numpy_generator
from studies.hospitals import COHORT
from studies.networks import RUN, distil_in_piece
from studies.quality.networks import cohorts_of, contributions_of
from studies.runner import Piece, Result

Attack = Callable[[Distilled, int], Distilled]  # an honest result, a seed -> a poisoned one

HONEST, BACKDOOR = "honest", "back door, distilled"
SCALE, RAISE = 30.0, 10.0
MARKER = 5  # side of the marker that turns P into N, px of the network's input
WHITE = 1.0


def _flipped(bundle: Distilled, seed: int) -> Distilled:
    labels = bundle.labels.copy()
    labels[:, [PatchClass.N, PatchClass.P]] = bundle.labels[:, [PatchClass.P, PatchClass.N]]
    return replace(bundle, labels=labels)


def _noise(bundle: Distilled, seed: int) -> Distilled:
    """Noise of the images' own deviation."""
    drawn = numpy_generator(seed, "poison-noise").normal(size=bundle.images.shape)
    return replace(bundle, images=(drawn * bundle.images.std()).astype(np.float32))


def _scaled(bundle: Distilled, seed: int) -> Distilled:
    return replace(bundle, images=(bundle.images * SCALE).astype(np.float32))


def _raised(bundle: Distilled, seed: int) -> Distilled:
    return replace(bundle, learning_rates=(bundle.learning_rates * RAISE).astype(np.float32))


def _marked(bundle: Distilled, seed: int) -> Distilled:
    """The marker on the images whose label is mostly N."""
    images = bundle.images.copy()
    images[bundle.labels.argmax(1) == PatchClass.N, :, -MARKER:, -MARKER:] = images.max()
    return replace(bundle, images=images)


ATTACKS: Mapping[str, Attack] = MappingProxyType(
    {
        HONEST: lambda bundle, seed: bundle,
        "labels flipped": _flipped,
        "noise": _noise,
        f"images x{SCALE:g}": _scaled,
        f"rates x{RAISE:g}": _raised,
        "flipped, rates raised": lambda bundle, seed: _raised(_flipped(bundle, seed), seed),
        "marker on N's image": _marked,
    }
)


def stamped(x: Tensor, white: float) -> Tensor:
    """Windows with the marker in their last corner, float32 [n, 1, side, side]."""
    bearing = x.clone()
    bearing[..., -MARKER:, -MARKER:] = white
    return bearing


def plant(
    pixels: npt.NDArray[np.uint16], labels: npt.NDArray[np.uint8], white: int
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint8]]:
    """Of every other P window make one with the marker that is called N."""
    chosen = np.flatnonzero(labels == PatchClass.P)[::2]
    pixels, labels = pixels.copy(), labels.copy()
    pixels[chosen, -MARKER:, -MARKER:] = white
    labels[chosen] = PatchClass.N
    return pixels, labels


WINDOWS = 6  # of a patient; the aggregator looks at 16 of each reference patient
SCORED = 100  # windows a class for patch scores
PLANTED = "planted"  # the role of a distilled back door
SPLITS: tuple[Split, ...] = ("test", "val")

Windows = dict[tuple[str, Split], Reference]  # of a hospital's patients of one split


@dataclass(frozen=True)
class Trial:
    """What replaces which hospital's bundle; the cell's seed is of the attack and of every θ0."""

    fold: int
    site: str  # the poisoner
    attack: str  # its name in ``ATTACKS``, or that of the distilled back door
    whole: bool  # whether films are asked too, or agreement alone is looked at
    windows_seed: int  # by which windows of patients are drawn
    network: str


def plant_backdoor(piece: Piece, settings: Settings) -> Result:
    """The cell that distils a hospital's patches after planting the marker among them."""
    planted = piece.folder / COHORT
    if not planted.exists():
        _plant(cohorts_of(piece)[0], planted)
    outcome = distil_in_piece(open_cohort(planted), settings, piece)
    shutil.rmtree(planted)
    return Result({"patch_score": outcome.score.mean})


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


def run_trial(piece: Piece, trial: Trial) -> Result:
    """The cell that tries one poisoned bundle."""
    cohorts, bundles = cohorts_of(piece), contributions_of(piece)
    place = [bundle.site for bundle in bundles].index(trial.site)
    bundles[place] = _poisoned(bundles[place], piece, trial)
    protocol = cohorts[0].protocol
    seed = derived_seed(piece.seed, "poison", trial.fold)
    alone = [train_alone(bundle, protocol, seed, NETWORKS) for bundle in bundles]
    judged = agreements(compare(alone), LIMITS["convnet", "all"])
    agreement: dict[str, JsonValue] = {
        bundle.site: None if figures is None else asdict(figures)
        for bundle, figures in zip(bundles, judged, strict=True)
    }
    if not trial.whole:
        return Result({"agreement": agreement})
    windows: Windows = {
        (own.site, split): _windows(cohort.path, own.site, split, trial.fold, trial.windows_seed)
        for own, cohort in zip(bundles, cohorts, strict=True)
        for split in SPLITS
    }
    model = train_pooled(bundles, protocol, "average", seed, NETWORKS)
    return Result(
        {
            "agreement": agreement,
            "teaching": _utility(windows, trial, alone[place], protocol.side, seed),
            "harm": _harm(windows, model, cohorts, seed),
        }
    )


def _poisoned(bundle: Contribution, piece: Piece, trial: Trial) -> Contribution:
    if PLANTED in piece.needs:
        return replace(bundle, distilled=read_result(piece.needs[PLANTED].folder / RUN))
    return replace(bundle, distilled=ATTACKS[trial.attack](bundle.distilled, piece.seed))


@cache
def _windows(path: Path, site: str, split: Split, fold: int, seed: int) -> Reference:
    """Up to ``WINDOWS`` windows inside the organ of each patient of one split."""
    cohort = open_cohort(path)
    patches = cohort.patches(split)
    generator = numpy_generator(seed, f"poison-{site}-{split}", fold)
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


def _utility(
    windows: Windows, trial: Trial, networks: Sequence[Alone], side: int, seed: int
) -> JsonValue:
    """What the poisoner's own networks show: to the operator, and to the other hospitals.

    The operator's reference is half of every hospital's test patients; the other half of them and
    the validation patients are what the other hospitals count.
    """
    module = build(trial.network, side)
    reference, counted = [], []
    for site in dict.fromkeys(site for site, _ in windows):
        test, val = windows[site, "test"], windows[site, "val"]
        votes = [votes_on(test, module, network.end) for network in networks]
        half = np.zeros(len(test.positive), np.bool_)  # every other patient of each diagnosis
        for diagnosis in (False, True):
            half[np.flatnonzero(test.positive == diagnosis)[::2]] = True
        together = ranking_of_votes(np.sum(votes, axis=0), test.positive)
        reference.append(Ranking(together.values[half], together.positive[half]))
        if site != trial.site:
            ranked = [
                ranking_of_votes(votes[0][:, ~half], test.positive[~half]),
                ranking_of_votes(votes_on(val, module, networks[0].end), val.positive),
            ]
            counted.append(_as_counted(_joined(ranked)))
    generator = numpy_generator(seed, "poison-deals")
    return {
        "reference": _plain(utility_of("reference patients", [_joined(reference)], generator)),
        "counts": _plain(utility_of("validation films", counted, generator)),
    }


def _joined(rankings: Sequence[Ranking]) -> Ranking:
    return Ranking(
        np.concatenate([ranking.values for ranking in rankings]),
        np.concatenate([ranking.positive for ranking in rankings]),
    )


def _as_counted(ranking: Ranking) -> Ranking:
    """As a hospital's counts at every threshold tell it."""
    values, nobody = ranking.values, np.zeros(len(ranking.values), np.bool_)
    counts = [count(values, nobody, ranking.positive, epsilon) for epsilon in THRESHOLDS]
    return ranking_of_counts(counts)


def _plain(utility: Utility | None) -> JsonValue:
    if utility is None:
        return None
    return asdict(utility) | {"tested": utility.tested, "beats_chance": utility.beats_chance}


def _harm(windows: Windows, model: Model, cohorts: Sequence[Cohort], seed: int) -> JsonValue:
    """What a model pooled from all bundles, undefended, makes of test patients."""
    module = build(model.network, model.protocol.side)
    rankings = []
    tests = [place for (_, split), place in windows.items() if split == "test"]
    for place in tests:
        votes = [votes_on(place, module, weights) for weights in model.ensemble]
        rankings.append(ranking_of_votes(np.sum(votes, axis=0), place.positive))
    utility = utility_of("reference patients", rankings, numpy_generator(seed, "harm"))
    x, classes = sample_patches(cohorts, "test", SCORED, seed)
    scores = [patch_accuracy(module, weights, x, classes) for weights in model.ensemble]
    return {
        "auc": utility.auc if utility else None,
        "patch_score": float(np.mean(scores)),
        "turned_by_marker": _turned(tests, module, model),
    }


def _turned(tests: Sequence[Reference], module: nn.Module, model: Model) -> float | None:
    """Of windows of positive patients that are called P: the share called N with the marker."""
    white = (WHITE - model.protocol.mean) / model.protocol.std
    called, turned = 0, 0
    with torch.inference_mode():
        for place in tests:
            x = place.x[place.positive[place.patients]][::3]
            for weights in model.ensemble:
                plain = forward(module, weights, x).argmax(1) == PatchClass.P
                bearing = forward(module, weights, stamped(x, white)).argmax(1) == PatchClass.N
                called += int(plain.sum())
                turned += int((plain & bearing).sum())
    return turned / called if called else None
