"""Are the defaults of ``gdshare distill`` the best? Each other value, tried by itself.

One hospital's patches are distilled as ``gdshare distill`` does it when told nothing, and then told
one thing, for equal CPU-seconds: a variant whose training step costs twice as much takes half as
many. Judged on training and validation patients; no test patient is looked at. A seed takes about
half an hour of one thread; ``--quick`` under a minute, on synthetic films.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from pydantic import TypeAdapter
from torch.nn import functional

from gdshare.cohort import Cohort, open_cohort
from gdshare.distill.loop import LostError, Outcome, StoppedError, Tick, distill
from gdshare.distill.score import tensors_of
from gdshare.distill.unroll import trajectory_end
from gdshare.method import Settings
from gdshare.networks import build, draw, forward
from gdshare.patch_tensors import as_tensors, patch_accuracy
from gdshare.protocol import Protocol
from gdshare.seeding import numpy_generator, scoring_rows, torch_generator
from gdshare.storage import write_json
from studies.command import Study
from studies.hospitals import COHORT, Hospital, Phantoms, cohort_cell, hospitals_of
from studies.networks import distil_in_piece
from studies.report import Report
from studies.runner import Cell, Facts, Piece, Result, Store
from studies.tables import Row, Table, Value, deviation, mean

COST = "cost.json"

DEFAULTS = "defaults"
VARIANTS = (  # what a user would type; each is the defaults but for these options
    DEFAULTS,
    "--epochs 3",
    "--batch 48",
    "--draws 2",
    "--unroll window --window 2",
    "--unroll greedy",
    "--labels hard",
    "--label-scale 2",
    "--inner-rates shared",
    "--inner-rate 0.1",
    "--outer-rate 0.1",
    "--outer-rate 0.02",
    "--outer-decay none",
    "--augment mirror",
)
PROTOCOL = Protocol(patch=75, stride=13, side=32, tone="none")
QUICK_PROTOCOL = Protocol(patch=40, stride=20, side=16, tone="none")


@dataclass(frozen=True)
class Plan:
    """Everything that decides a study but its seeds and the machine's speed."""

    variants: tuple[str, ...] = VARIANTS  # in the order of the table, the defaults first
    outer_steps: int = 300  # of the defaults; a variant gets as many as cost the same
    timed_steps: int = 12  # training steps by which the cost of one is measured; 2 or more
    inits: int = 10  # fresh θ0 that images are judged from
    windows: int = 200  # training windows of each class that the loss is taken on
    phantoms: Phantoms | None = None  # a synthetic hospital in place of the real one


FULL = Plan()
QUICK = Plan(
    (DEFAULTS, "--unroll window --window 2", "--labels hard"),
    outer_steps=4,
    timed_steps=2,
    inits=2,
    windows=20,
    phantoms=Phantoms(hospitals=1),
)


@dataclass(frozen=True)
class Trial:
    """How a variant is tried: the defaults, scored once at their end, but for some options."""

    defaults: Settings
    options: dict[str, str]
    timed_steps: int
    windows: int

    @classmethod
    def of(cls, plan: Plan, variant: str) -> "Trial":
        words, steps = variant.split(), plan.outer_steps
        flags = [word.removeprefix("--").replace("-", "_") for word in words[::2]]
        defaults = Settings(
            network="convnet",
            precision="float32",
            outer_steps=steps,
            score_every=steps,
            score_inits=plan.inits,
            score_patches=plan.windows,
        )
        options = dict(zip(flags, words[1::2], strict=False))
        return cls(defaults, options, plan.timed_steps, plan.windows)

    def settings(self, **others: int) -> Settings:
        """Of the variant's run; what follows from the network follows anew."""
        defaults = self.defaults.model_dump(exclude_unset=True)
        return Settings.model_validate({**defaults, **others, **self.options}, strict=False)


def study(chosen: argparse.Namespace, store: Store) -> Study:
    """The cells, and the table of all of them."""
    plan = QUICK if chosen.quick else FULL
    archived = [record["seed"] for record in store.archived([]).values()]
    seeds = chosen.seeds or 1 + max(archived, default=0)
    (hospital,) = hospitals_of(plan.phantoms, chosen.data, store, ["shenzhen-a"])

    def report(results: Mapping[str, Result]) -> Report:
        table = table_of(plan, seeds, results)
        return Report(str(table), {"tables": [table.as_data()]})

    return Study(plan, cells_of(plan, hospital, seeds), report)


def name_of(variant: str, seed: int) -> str:
    return f"{variant.replace('--', '').replace(' ', '-')}-{seed}"


def cells_of(plan: Plan, hospital: Hospital, seeds: int) -> list[Cell]:
    """The hospital's cohort, and every trial, seed after seed."""
    protocol, seconds = (QUICK_PROTOCOL, 3.0) if plan.phantoms else (PROTOCOL, 120.0)
    cohort = cohort_cell(hospital, protocol)
    cells = [*hospital.needs.values(), cohort]
    for seed in range(seeds):
        for variant in plan.variants:
            trial, name = Trial.of(plan, variant), name_of(variant, seed)
            needs = {"cohort": cohort}
            cells.append(Cell(name, "trial", try_variant, trial, seed, needs, seconds, True))
    return cells


def try_variant(piece: Piece, trial: Trial) -> Result:
    """The cell that tries one variant; after a kill it goes on at its last checkpoint."""
    cohort = open_cohort(piece.needs["cohort"].folder / COHORT)
    own, default = _cost(trial, cohort, piece.folder / COST)
    steps = max(1, round(trial.defaults.outer_steps * default / own))
    settings = trial.settings(outer_steps=steps, score_every=steps, seed=piece.seed)
    facts: Facts = {"outer_steps": steps, "seconds_a_step": own}
    try:
        outcome = distil_in_piece(cohort, settings, piece)
    except LostError:
        return Result(facts | {"gave_up": True})
    losses, accuracies = lesson(cohort, outcome, settings, trial.windows)
    score = outcome.score
    facts |= {"patch_score": score.mean, "patch_score_deviation": score.deviation}
    finite = [loss if isfinite(loss) else None for loss in losses]
    return Result({**facts, "losses": [*finite], "accuracy": mean(accuracies)})


def lesson(
    cohort: Cohort, outcome: Outcome, settings: Settings, windows: int
) -> tuple[list[float], list[float]]:
    """Cross entropy (nats) and class-balanced accuracy on so many training windows a class, of
    networks trained on the images from fresh θ0.
    """
    train = cohort.patches("train")
    rows = scoring_rows(train, windows, numpy_generator(settings.seed, "options-windows"))
    x, classes = as_tensors(train, rows, cohort.protocol)
    module = build(settings.network, cohort.protocol.side)
    data = tensors_of(outcome.distilled, settings.sets, torch.device("cpu"))
    losses, accuracies = [], []
    for number in range(settings.score_inits):
        generator = torch_generator(settings.seed, "options-theta0", number)
        theta0 = draw(settings.network, module, generator)
        end = trajectory_end(module, theta0, data, settings.trajectory)
        with torch.inference_mode():
            losses.append(functional.cross_entropy(forward(module, end, x), classes).item())
        accuracies.append(patch_accuracy(module, end, x, classes))
    return losses, accuracies


def seconds_a_step(cohort: Cohort, settings: Settings, steps: int) -> float:
    """The mean CPU-seconds of a training step, after one to warm up.

    The mean and not the median: with a random window some steps cost more than others.
    """
    stamps: list[float] = []

    def stamp(tick: Tick) -> None:
        stamps.append(time.process_time())

    never = {"outer_steps": 10**6, "score_every": 10**6, "checkpoint_every": 10**6}
    long = settings.model_copy(update=never)
    with TemporaryDirectory() as aside, suppress(StoppedError):
        distill(
            cohort, Path(aside) / "run", long, progress=stamp, stopping=lambda: len(stamps) > steps
        )
    return (stamps[steps - 1] - stamps[0]) / (steps - 1)


def _cost(trial: Trial, cohort: Cohort, path: Path) -> tuple[float, float]:
    """CPU-seconds of a training step, of this variant and of the defaults.

    Measured once, so that a run that is taken up again has as many steps as it began with.
    """
    if not path.exists():
        own = default = seconds_a_step(cohort, trial.defaults, trial.timed_steps)
        if trial.options:
            own = seconds_a_step(cohort, trial.settings(), trial.timed_steps)
        write_json(path, [own, default])
    return TypeAdapter(tuple[float, float]).validate_json(path.read_bytes())


def table_of(plan: Plan, seeds: int, results: Mapping[str, Result]) -> Table:
    title = (
        "Told one thing, for the CPU-seconds of the defaults: training loss (nats) and accuracy, "
        f"patch score on validation patients, and its gain on the defaults; mean of {seeds} "
        "seed(s), ± the gain's deviation over them"
    )
    head = ("", "steps", "loss", "accuracy", "patch score", "gain", "±")
    defaults = [results[name_of(DEFAULTS, seed)] for seed in range(seeds)]
    rows = [
        _row(variant, [(results[name_of(variant, n)], base) for n, base in enumerate(defaults)])
        for variant in plan.variants
    ]
    return Table(title, head, rows)


def _row(name: str, trials: Sequence[tuple[Result, Result]]) -> Row:
    """Of a variant's trials, each beside the defaults' of the same seed, if both were finished."""
    pairs = [pair for pair in trials if not any("gave_up" in result.facts for result in pair)]
    if not pairs:
        return (name, "gave up", *[""] * 5)
    own, lost = [mine for mine, _ in pairs], len(trials) - len(pairs)
    gains = [mine.number("patch_score") - base.number("patch_score") for mine, base in pairs]
    spread, loss = deviation(gains), _loss(own)
    return (
        name + (f" (gave up on {lost})" if lost else ""),
        _mean([mine.number("outer_steps") for mine in own], ".0f"),
        Value("not finite" if loss is None else f"{loss:.3f}", loss),
        _mean([mine.number("accuracy") for mine in own], ".3f"),
        _mean([mine.number("patch_score") for mine in own], ".3f"),
        _mean(gains, "+.3f"),
        Value("" if spread is None else f"{spread:.3f}", spread),
    )


def _mean(values: Sequence[float], form: str) -> Value:
    return Value(f"{mean(values):{form}}", list(values))


def _loss(results: Sequence[Result]) -> float | None:
    """The mean over seeds and θ0; None where one is not finite."""
    seeds = [result.facts["losses"] for result in results]
    losses = TypeAdapter(list[list[float | None]]).validate_python(seeds)
    finite = [loss for seed in losses for loss in seed if loss is not None]
    return mean(finite) if finite and len(finite) == sum(map(len, losses)) else None
