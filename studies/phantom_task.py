"""Is the phantom's task neither trivial nor hopeless? ``python -m studies.phantom_task``.

Three phantom hospitals label patches (75 px, 32 px to the network); ResNet18 is trained on 1,000
real patches of each class from their training patients pooled; ε is chosen on their validation
films; their test films are then judged once by patch voting. Beside it, the patch score that the
small ConvNet reaches on the same patches, since the demo distils with it. The wanted range is HM
0.75 to 0.95. ``--quick`` does one seed on fewer, coarser cut films with fewer epochs, to see that
everything runs; its figures say little.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.command import parser, write_figures
from gdshare.cohort import Cohort, Split, label_cohort, open_cohort
from gdshare.evaluation import FilmVote, cohort_votes, confusions, local_figures
from gdshare.films.phantom import write_phantom_cohort
from gdshare.metrics import Confusion, best_threshold
from gdshare.model import Model
from gdshare.networks import build
from gdshare.protocol import Protocol
from gdshare.training import TrainingPlan, patch_accuracy, sample_patches, train_on_real

NAME = "studies.phantom_task"

WANTED = (0.75, 0.95)
SITES = 3
CONVNET_EPOCHS = 3
console = Console()


@dataclass(frozen=True)
class Scale:
    """How much work a measurement is."""

    seeds: tuple[int, ...]
    per_diagnosis: int  # films of each diagnosis at each site
    per_class: int  # real patches of each class, all sites together
    stride: int
    epochs: int
    fractions: tuple[float, float, float] = (0.5, 0.2, 0.3)


FULL = Scale(seeds=(0, 1, 2), per_diagnosis=25, per_class=1000, stride=13, epochs=10)
QUICK = Scale(seeds=(0,), per_diagnosis=8, per_class=400, stride=25, epochs=4)


@dataclass(frozen=True)
class Outcome:
    """What one seed gave. Patch scores are class-balanced, on test patients."""

    seed: int
    threshold: float
    counts: dict[str, int]
    sensitivity: float
    specificity: float
    harmonic_mean: float
    harmonic_mean_low: float
    harmonic_mean_high: float
    auc: float
    harmonic_mean_by_site: list[float]
    resnet18_patch_score: float
    convnet_patch_score: float
    seconds: float


def make_cohorts(folder: Path, seed: int, scale: Scale) -> list[Cohort]:
    """Draw, cut and label the films of three phantom hospitals."""
    protocol = Protocol(patch=75, stride=scale.stride, side=32)
    cohorts = []
    for site in range(SITES):
        table = write_phantom_cohort(
            folder / f"films-{site}",
            site=site,
            negatives=scale.per_diagnosis,
            positives=scale.per_diagnosis,
            seed=seed,
        )
        label_cohort(table, folder / f"cohort-{site}", protocol, scale.fractions, seed)
        cohorts.append(open_cohort(folder / f"cohort-{site}"))
    return cohorts


def patch_score(model: Model, cohorts: Sequence[Cohort], seed: int) -> float:
    """Class-balanced patch accuracy on patches of test patients."""
    x, y = sample_patches(cohorts, "test", 900, seed)
    return patch_accuracy(build(model.network, model.protocol.side), model.ensemble[0], x, y)


def votes_by_site(model: Model, cohorts: Sequence[Cohort], split: Split) -> list[list[FilmVote]]:
    """Classify the films of one split at each site."""
    return [cohort_votes(model, cohort, split) for cohort in cohorts]


def measure(seed: int, scale: Scale) -> Outcome:
    """Measure the task once, on other patients and with other weights for each seed."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="phantom-task-") as folder:
        cohorts = make_cohorts(Path(folder), seed, scale)
        plan = TrainingPlan("resnet18", scale.per_class, scale.epochs, rates=(1e-3,), seed=seed)
        model = train_on_real(cohorts, plan).model
        small = TrainingPlan("convnet", scale.per_class, CONVNET_EPOCHS, rates=(1e-3,), seed=seed)
        convnet = train_on_real(cohorts, small).model
        val = [vote for site in votes_by_site(model, cohorts, "val") for vote in site]
        threshold = best_threshold(confusions(val))
        sites = votes_by_site(model, cohorts, "test")
        figures = local_figures(
            [vote for site in sites for vote in site], threshold, np.random.default_rng(seed)
        )
        hm = figures.intervals.harmonic_mean
        return Outcome(
            seed,
            threshold,
            asdict(figures.confusion),
            figures.confusion.sensitivity,
            figures.confusion.specificity,
            figures.confusion.harmonic_mean,
            hm.low,
            hm.high,
            figures.auc,
            [confusions(site, [threshold])[0].harmonic_mean for site in sites],
            patch_score(model, cohorts, seed),
            patch_score(convnet, cohorts, seed),
            time.perf_counter() - start,
        )


def summary(outcomes: Sequence[Outcome]) -> dict[str, float | bool]:
    """Add up the seeds' counts and say whether the task lies in the wanted range."""
    total = Confusion(0, 0, 0, 0, 0, 0)
    for outcome in outcomes:
        total += Confusion(**outcome.counts)
    low, high = WANTED
    return {
        "harmonic_mean": total.harmonic_mean,
        "sensitivity": total.sensitivity,
        "specificity": total.specificity,
        "auc": float(np.mean([outcome.auc for outcome in outcomes])),
        "convnet_patch_score": float(np.mean([o.convnet_patch_score for o in outcomes])),
        "in_wanted_range": low <= total.harmonic_mean <= high,
    }


def show(outcomes: Sequence[Outcome], total: dict[str, float | bool]) -> None:
    """Print the table for people."""
    table = Table(title="Phantom task: ResNet18 on real patches, three hospitals pooled")
    for heading in ("seed", "ε", "Sen", "Spe", "HM (95%)", "AUC", "patches", "s"):
        table.add_column(heading, justify="right")
    for o in outcomes:
        table.add_row(
            str(o.seed),
            f"{o.threshold:.2f}",
            f"{o.sensitivity:.3f}",
            f"{o.specificity:.3f}",
            f"{o.harmonic_mean:.3f} ({o.harmonic_mean_low:.2f}-{o.harmonic_mean_high:.2f})",
            f"{o.auc:.3f}",
            f"{o.resnet18_patch_score:.3f} / {o.convnet_patch_score:.3f}",
            f"{o.seconds:.0f}",
        )
    table.caption = "patches: class-balanced accuracy on test patients, ResNet18 / ConvNet"
    console.print(table)
    console.print(
        f"all seeds: HM {total['harmonic_mean']:.3f} "
        f"(wanted {WANTED[0]} to {WANTED[1]}), Sen {total['sensitivity']:.3f}, "
        f"Spe {total['specificity']:.3f}, mean AUC {total['auc']:.3f}"
    )


def main() -> None:
    """Read the options and measure."""
    chosen = parser(NAME, __doc__, "one small seed, within two minutes").parse_args()
    scale = QUICK if chosen.quick else FULL
    torch.set_num_threads(1)
    outcomes = []
    for seed in scale.seeds:
        outcomes.append(measure(seed, scale))
        console.print(f"seed {seed}: HM {outcomes[-1].harmonic_mean:.3f}")
    total = summary(outcomes)
    show(outcomes, total)
    seeds = [asdict(outcome) for outcome in outcomes]
    write_figures(chosen.json, NAME, {"scale": asdict(scale), "seeds": seeds, **total})


if __name__ == "__main__":
    main()
