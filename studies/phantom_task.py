"""Is the phantom's task neither trivial nor hopeless?

Three phantom hospitals label patches (75 px, 32 px to the network); ResNet18 is trained on 1,000
real patches of each class from their training patients pooled; ε is chosen on their validation
films; their test films are then judged once by patch voting. Beside it, the patch score that the
small ConvNet reaches on the same patches, since the demo distils with it. The wanted range is HM
0.75 to 0.95. In full about 7 CPU-minutes a seed; ``--quick`` does one on fewer, coarser cut films,
within two minutes; its figures say little.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from itertools import chain
from operator import add

import numpy as np
from pydantic import TypeAdapter

from gdshare.cohort import Cohort, label_cohort, open_cohort
from gdshare.evaluation import cohort_votes, confusions, local_figures
from gdshare.films.phantom import write_phantom_cohort
from gdshare.metrics import Confusion, best_threshold
from gdshare.networks import build
from gdshare.patch_tensors import patch_accuracy, sample_patches
from gdshare.protocol import Protocol
from gdshare.training import TrainingPlan, train_on_real
from studies.command import Report, Study
from studies.runner import Cell, Piece, Result, Store
from studies.tables import Row, Table, mean, number

WANTED = (0.75, 0.95)
SITES, CONVNET_EPOCHS = 3, 3


@dataclass(frozen=True)
class Scale:
    per_diagnosis: int  # films of each diagnosis at each site
    per_class: int  # real patches of each class, all sites together
    stride: int
    epochs: int
    fractions: tuple[float, float, float] = (0.5, 0.2, 0.3)


FULL = Scale(per_diagnosis=25, per_class=1000, stride=13, epochs=10)
QUICK = Scale(per_diagnosis=8, per_class=400, stride=25, epochs=4)


def study(chosen: argparse.Namespace, store: Store) -> Study:
    """The cells, one a seed, and their table."""
    scale, seeds, cost = (QUICK, 1, 60.0) if chosen.quick else (FULL, 3, 420.0)
    count = chosen.seeds or seeds
    cells = [Cell(f"seed-{n}", "seed", measure, scale, n, {}, cost) for n in range(count)]
    return Study(scale, cells, lambda results: report_of([results[cell.name] for cell in cells]))


def measure(piece: Piece, scale: Scale) -> Result:
    """The cell that measures the task once, on other patients and with other weights a seed."""
    cohorts = [_cohort(piece, site, scale) for site in range(SITES)]
    x, y = sample_patches(cohorts, "test", 900, piece.seed)
    models, scores = [], []
    for network, epochs in (("resnet18", scale.epochs), ("convnet", CONVNET_EPOCHS)):
        plan = TrainingPlan(network, scale.per_class, epochs, rates=(1e-3,), seed=piece.seed)
        models.append(train_on_real(cohorts, plan).model)
        module = build(network, models[-1].protocol.side)
        scores.append(patch_accuracy(module, models[-1].ensemble[0], x, y))
    val, test = ([cohort_votes(models[0], c, split) for c in cohorts] for split in ("val", "test"))
    threshold = best_threshold(confusions([*chain(*val)]))
    figures = local_figures([*chain(*test)], threshold, np.random.default_rng(piece.seed))
    interval = figures.intervals.harmonic_mean
    return Result(
        {
            "threshold": threshold,
            "counts": asdict(figures.confusion),
            "harmonic_mean_interval": [interval.low, interval.high],
            "auc": figures.auc,
            "patch_scores": list(scores),
        }
    )


def _cohort(piece: Piece, site: int, scale: Scale) -> Cohort:
    """The labelled films of a phantom hospital, drawn and cut unless an earlier piece did so."""
    films, cohort = piece.folder / f"films-{site}", piece.folder / f"cohort-{site}"
    count, protocol = scale.per_diagnosis, Protocol(patch=75, stride=scale.stride, side=32)
    if not films.exists():
        write_phantom_cohort(films, site=site, negatives=count, positives=count, seed=piece.seed)
    if not cohort.exists():
        label_cohort(films / "labels.csv", cohort, protocol, scale.fractions, piece.seed)
    return open_cohort(cohort)


def report_of(results: Sequence[Result]) -> Report:
    """A row a seed, and whether the task lies in the wanted range over all of them."""
    counts = [TypeAdapter(Confusion).validate_python(one.facts["counts"]) for one in results]
    table = Table(
        "Phantom task: ResNet18 on real patches, three hospitals pooled; patches: class-balanced "
        "accuracy on test patients, ResNet18 / ConvNet",
        ("seed", "ε", "Sen", "Spe", "HM (95%)", "AUC", "patches", "s"),
        [_row(seed, *pair) for seed, pair in enumerate(zip(results, counts, strict=True))],
    )
    total, (low, high) = reduce(add, counts), WANTED
    area = mean([one.number("auc") for one in results])
    text = (
        f"all seeds: HM {total.harmonic_mean:.3f} (wanted {low} to {high}), "
        f"Sen {total.sensitivity:.3f}, Spe {total.specificity:.3f}, mean AUC {area:.3f}"
    )
    seeds = [one.facts for one in results]
    return Report(f"{table}\n\n{text}", {"harmonic_mean": total.harmonic_mean, "seeds": seeds})


def _row(seed: int, result: Result, counts: Confusion) -> Row:
    low, high = result.numbers("harmonic_mean_interval")
    resnet18, convnet = result.numbers("patch_scores")
    return (
        str(seed),
        f"{result.number('threshold'):.2f}",
        number(counts.sensitivity),
        number(counts.specificity),
        f"{counts.harmonic_mean:.3f} ({low:.2f}-{high:.2f})",
        number(result.number("auc")),
        f"{resnet18:.3f} / {convnet:.3f}",
        f"{result.cpu_seconds:.0f}",
    )
