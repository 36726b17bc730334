"""Is the phantom's task neither trivial nor hopeless?

Three phantom hospitals label patches (75 px, 32 px to the network); ResNet18 is trained on 1,000
real patches of each class from their training patients pooled; ε is chosen on their validation
films; their test films are then judged once by patch voting. Beside it, the patch score that the
small ConvNet reaches on the same patches, since the demo distils with it. The wanted range is HM
0.75 to 0.95. In full about 7 CPU-minutes a seed; ``--quick`` does one on fewer, coarser cut films
with fewer epochs, within two minutes, to see that everything runs; its figures say little.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from gdshare.cohort import Cohort, Split, label_cohort, open_cohort
from gdshare.evaluation import FilmVote, cohort_votes, confusions, local_figures
from gdshare.films.phantom import write_phantom_cohort
from gdshare.metrics import Confusion, best_threshold
from gdshare.model import Model
from gdshare.networks import build
from gdshare.protocol import Protocol
from gdshare.training import TrainingPlan, patch_accuracy, sample_patches, train_on_real
from studies.command import Report, Study, require_all
from studies.intervals import mean
from studies.runner import Cell, Piece, Result, Store
from studies.tables import Row, Table, Value, number

KINDS = ("seed",)
QUICK_HELP = "one small seed, within two minutes"
DATA, DATA_HELP = Path(), "not used: the films are drawn"

WANTED = (0.75, 0.95)
SITES = 3
CONVNET_EPOCHS = 3


@dataclass(frozen=True)
class Scale:
    """How much work a measurement is."""

    per_diagnosis: int  # films of each diagnosis at each site
    per_class: int  # real patches of each class, all sites together
    stride: int
    epochs: int
    fractions: tuple[float, float, float] = (0.5, 0.2, 0.3)


FULL = Scale(per_diagnosis=25, per_class=1000, stride=13, epochs=10)
QUICK = Scale(per_diagnosis=8, per_class=400, stride=25, epochs=4)


def add_options(parser: argparse.ArgumentParser) -> None:
    """It takes no other options."""


def study(chosen: argparse.Namespace, store: Store) -> Study:
    """The cells, one a seed, and their table."""
    scale, seeds, cost = (QUICK, 1, 60.0) if chosen.quick else (FULL, 3, 420.0)
    cells = [
        Cell(f"seed-{seed}", "seed", measure, scale, seed, cpu_seconds=cost)
        for seed in range(seeds)
    ]

    def report(results: Mapping[str, Result]) -> Report:
        require_all(cells, results)
        return report_of([results[cell.name] for cell in cells])

    return Study(cells, report)


def measure(piece: Piece, scale: Scale) -> Result:
    """The cell that measures the task once, on other patients and with other weights a seed."""
    cohorts = [_cohort(piece, site, scale) for site in range(SITES)]
    models = [
        train_on_real(
            cohorts,
            TrainingPlan(network, scale.per_class, epochs, rates=(1e-3,), seed=piece.seed),
        ).model
        for network, epochs in (("resnet18", scale.epochs), ("convnet", CONVNET_EPOCHS))
    ]
    threshold = best_threshold(confusions([*chain(*_votes(models[0], cohorts, "val"))]))
    sites = _votes(models[0], cohorts, "test")
    figures = local_figures([*chain(*sites)], threshold, np.random.default_rng(piece.seed))
    interval = figures.intervals.harmonic_mean
    return Result(
        {
            "threshold": threshold,
            "counts": asdict(figures.confusion),
            "harmonic_mean_interval": [interval.low, interval.high],
            "auc": figures.auc,
            "harmonic_mean_by_site": [
                confusions(site, [threshold])[0].harmonic_mean for site in sites
            ],
            "patch_scores": [_patch_score(model, cohorts, piece.seed) for model in models],
        }
    )


def _cohort(piece: Piece, site: int, scale: Scale) -> Cohort:
    """Draw, cut and label the films of a phantom hospital, unless an earlier piece did so."""
    films, cohort = piece.folder / f"films-{site}", piece.folder / f"cohort-{site}"
    count = scale.per_diagnosis
    if not films.exists():
        write_phantom_cohort(films, site=site, negatives=count, positives=count, seed=piece.seed)
    if not cohort.exists():
        protocol = Protocol(patch=75, stride=scale.stride, side=32)
        label_cohort(films / "labels.csv", cohort, protocol, scale.fractions, piece.seed)
    return open_cohort(cohort)


def _votes(model: Model, cohorts: Sequence[Cohort], split: Split) -> list[list[FilmVote]]:
    return [cohort_votes(model, cohort, split) for cohort in cohorts]


def _patch_score(model: Model, cohorts: Sequence[Cohort], seed: int) -> float:
    """Class-balanced patch accuracy on patches of test patients."""
    x, y = sample_patches(cohorts, "test", 900, seed)
    return patch_accuracy(build(model.network, model.protocol.side), model.ensemble[0], x, y)


def report_of(results: Sequence[Result]) -> Report:
    """A row a seed, and whether the task lies in the wanted range over all of them."""
    counts = [TypeAdapter(Confusion).validate_python(result.facts["counts"]) for result in results]
    table = Table(
        "Phantom task: ResNet18 on real patches, three hospitals pooled; patches: class-balanced "
        "accuracy on test patients, ResNet18 / ConvNet",
        ("seed", "ε", "Sen", "Spe", "HM (95%)", "AUC", "patches", "s"),
        [_row(seed, *pair) for seed, pair in enumerate(zip(results, counts, strict=True))],
    )
    total = counts[0]
    for one in counts[1:]:
        total += one
    auc = mean([result.number("auc") for result in results])
    text = (
        f"all seeds: HM {total.harmonic_mean:.3f} (wanted {WANTED[0]} to {WANTED[1]}), "
        f"Sen {total.sensitivity:.3f}, Spe {total.specificity:.3f}, mean AUC {auc:.3f}"
    )
    low, high = WANTED
    figures = {
        "harmonic_mean": total.harmonic_mean,
        "sensitivity": total.sensitivity,
        "specificity": total.specificity,
        "auc": auc,
        "in_wanted_range": low <= total.harmonic_mean <= high,
        "seeds": [result.facts for result in results],
    }
    return Report(f"{table}\n\n{text}", figures)


def _row(seed: int, result: Result, counts: Confusion) -> Row:
    low, high = result.numbers("harmonic_mean_interval")
    resnet18, convnet = result.numbers("patch_scores")
    threshold = result.number("threshold")
    return (
        str(seed),
        Value(f"{threshold:.2f}", threshold),
        number(counts.sensitivity),
        number(counts.specificity),
        f"{counts.harmonic_mean:.3f} ({low:.2f}-{high:.2f})",
        number(result.number("auc")),
        f"{resnet18:.3f} / {convnet:.3f}",
        f"{result.cpu_seconds:.0f}",
    )
