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
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from pydantic import JsonValue, TypeAdapter
from pydantic_core import to_jsonable_python
from torch.nn import functional

from gdshare.cohort import Cohort, open_cohort
from gdshare.distill.loop import LostError, Outcome, StoppedError, Tick, distill
from gdshare.distill.score import tensors_of
from gdshare.distill.unroll import trajectory_end
from gdshare.errors import UsageError
from gdshare.method import Settings
from gdshare.networks import build, draw, forward
from gdshare.protocol import Protocol
from gdshare.seeding import numpy_generator, scoring_rows, torch_generator
from gdshare.storage import write_json
from gdshare.training import as_tensors, patch_accuracy
from studies.command import Report, Study, require_all
from studies.distilling import distil_in_piece
from studies.hospitals import (
    COHORT,
    Hospital,
    Phantoms,
    cohort_cell,
    phantom_hospitals,
    real_hospital,
)
from studies.intervals import deviation, mean
from studies.runner import Cell, Piece, Result, Store
from studies.tables import Row, Table, Value

KINDS = ("cohorts", "trial")
QUICK_HELP = "a tiny plan on synthetic films"
DATA, DATA_HELP = Path("../shared/data"), "folder that holds tb_cxr/shenzhen-a"

PROTOCOL = Protocol(patch=75, stride=13, side=32)
QUICK_PROTOCOL = Protocol(patch=40, stride=20, side=16)
COST = "cost.json"
GAVE_UP = "gave_up"
"""The fact that stands in for the others where a distillation could not be finished."""


@dataclass(frozen=True)
class Variant:
    """The defaults but for a few options; the name is of its row, and what a user would type."""

    name: str
    options: Mapping[str, str | int | float] = field(default_factory=dict, hash=False)

    def cell(self, seed: int) -> str:
        """The name of its cell."""
        return f"{self.name.replace('--', '').replace(' ', '-')}-{seed}"


DEFAULT = Variant("defaults")
VARIANTS = (
    DEFAULT,
    Variant("--epochs 3", {"epochs": 3}),
    Variant("--batch 48", {"batch": 48}),
    Variant("--draws 2", {"draws": 2}),
    Variant("--unroll window --window 2", {"unroll": "window", "window": 2}),
    Variant("--unroll greedy", {"unroll": "greedy"}),
    Variant("--labels hard", {"labels": "hard"}),
    Variant("--label-scale 2", {"label_scale": 2.0}),
    Variant("--inner-rates shared", {"inner_rates": "shared"}),
    Variant("--inner-rate 0.1", {"inner_rate": 0.1}),
    Variant("--outer-rate 0.1", {"outer_rate": 0.1}),
    Variant("--outer-rate 0.02", {"outer_rate": 0.02}),
    Variant("--outer-decay none", {"outer_decay": "none"}),
    Variant("--augment mirror", {"augment": "mirror"}),
)


@dataclass(frozen=True)
class Plan:
    """Everything that decides a study but its seeds and the machine's speed."""

    variants: tuple[Variant, ...] = VARIANTS  # in the order of the table, the defaults first
    outer_steps: int = 300  # of the defaults; a variant gets as many as cost the same
    timed_steps: int = 12  # training steps by which the cost of one is measured; 2 or more
    inits: int = 10  # fresh θ0 that images are judged from
    windows: int = 200  # training windows of each class that the loss is taken on
    phantoms: Phantoms | None = None  # a synthetic hospital in place of the real one

    @property
    def defaults(self) -> Settings:
        """Of the defaults' run; scored once, at its end."""
        return Settings(
            precision="float32",
            outer_steps=self.outer_steps,
            score_every=self.outer_steps,
            score_inits=self.inits,
            score_patches=self.windows,
        )


FULL = Plan()
QUICK = Plan(
    (DEFAULT, VARIANTS[4], VARIANTS[6]),
    outer_steps=4,
    timed_steps=2,
    inits=2,
    windows=20,
    phantoms=Phantoms(hospitals=1),
)
"""To see that everything runs; its figures say nothing."""


@dataclass(frozen=True)
class Trial:
    """How a variant is tried."""

    defaults: Settings
    options: Mapping[str, str | int | float]
    timed_steps: int
    windows: int

    def settings(self, **others: int) -> Settings:
        """Of the variant's run; the defaults by network follow from what was set."""
        told = self.defaults.model_dump(exclude_unset=True)
        return Settings.model_validate({**told, **others, **self.options})


def add_options(parser: argparse.ArgumentParser) -> None:
    """What no other study takes."""
    parser.add_argument("--seeds", type=int, default=1, help="trials of each variant (default 1)")


def study(chosen: argparse.Namespace, store: Store) -> Study:
    """The cells, and the table of all of them.

    Raises:
        UsageError: no seed, or the films are not there.
    """
    plan = QUICK if chosen.quick else FULL
    if chosen.seeds < 1:
        raise UsageError(f"--seeds {chosen.seeds}: there must be one or more")
    if plan.phantoms:
        (hospital,) = phantom_hospitals(plan.phantoms, store)
    else:
        hospital = real_hospital(chosen.data / "tb_cxr", "shenzhen-a")
    cells = cells_of(plan, hospital, chosen.seeds)

    def report(results: Mapping[str, Result]) -> Report:
        require_all(cells, results)
        trials = {
            variant: [results[variant.cell(seed)] for seed in range(chosen.seeds)]
            for variant in plan.variants
        }
        table = table_of(trials)
        figures = {"plan": to_jsonable_python(plan), "tables": [table.as_data()]}
        return Report(str(table), figures)

    return Study(cells, report)


def cells_of(plan: Plan, hospital: Hospital, seeds: int) -> list[Cell]:
    """The hospital's cohort, and every trial, seed after seed."""
    cohort = cohort_cell(hospital, QUICK_PROTOCOL if plan.phantoms else PROTOCOL)
    trials = [
        Cell(
            variant.cell(seed),
            "trial",
            try_variant,
            Trial(plan.defaults, variant.options, plan.timed_steps, plan.windows),
            seed,
            {"cohort": cohort},
            cpu_seconds=3.0 if plan.phantoms else 120.0,
            resumable=True,
        )
        for seed in range(seeds)
        for variant in plan.variants
    ]
    return [*([hospital.films] if hospital.films else []), cohort, *trials]


def try_variant(piece: Piece, trial: Trial) -> Result:
    """The cell that tries one variant; after a kill it goes on at its last checkpoint."""
    cohort = open_cohort(piece.needs["cohort"].folder / COHORT)
    own, default = _cost(trial, cohort, piece.folder / COST)
    steps = max(1, round(trial.defaults.outer_steps * default / own))
    settings = trial.settings(outer_steps=steps, score_every=steps, seed=piece.seed)
    spent: dict[str, JsonValue] = {"outer_steps": steps, "seconds_a_step": own}
    try:
        outcome = distil_in_piece(cohort, settings, piece)
    except LostError:
        return Result(spent | {GAVE_UP: True})
    losses, accuracies = lesson(cohort, outcome, settings, trial.windows)
    return Result(
        spent
        | {
            "losses": [loss if isfinite(loss) else None for loss in losses],
            "accuracy": mean(accuracies),
            "patch_score": outcome.score.mean,
            "patch_score_deviation": outcome.score.deviation,
        }
    )


def lesson(
    cohort: Cohort, outcome: Outcome, settings: Settings, windows: int
) -> tuple[list[float], list[float]]:
    """Train networks from fresh θ0 on the images, and look at so many training windows a class.

    Returns:
        of each θ0 cross entropy in nats, and class-balanced accuracy.
    """
    train = cohort.patches("train")
    rows = scoring_rows(train, windows, numpy_generator(settings.seed, "options-windows"))
    x, classes = as_tensors(train, rows, cohort)
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

    def enough() -> bool:
        return len(stamps) > steps  # saved before the next stamp, which is not used

    never = {"outer_steps": 10**6, "score_every": 10**6, "checkpoint_every": 10**6}
    long = settings.model_copy(update=never)
    with TemporaryDirectory() as aside, suppress(StoppedError):
        distill(cohort, Path(aside) / "run", long, progress=stamp, stopping=enough)
    return (stamps[steps - 1] - stamps[0]) / (steps - 1)


def _cost(trial: Trial, cohort: Cohort, path: Path) -> tuple[float, float]:
    """CPU-seconds of a training step, of this variant and of the defaults, measured in turn.

    Measured once, so that a run that is taken up again has as many steps as it began with.
    """
    if not path.exists():
        default = seconds_a_step(cohort, trial.defaults, trial.timed_steps)
        own = (
            seconds_a_step(cohort, trial.settings(), trial.timed_steps)
            if trial.options
            else default
        )
        write_json(path, [own, default])
    return TypeAdapter(tuple[float, float]).validate_json(path.read_bytes())


def table_of(trials: Mapping[Variant, Sequence[Result]]) -> Table:
    """Every variant against the defaults, seed by seed; of each its results, seeds in order."""
    title = (
        "Told one thing, for the CPU-seconds of the defaults: training loss (nats) and accuracy, "
        f"patch score on validation patients, and its gain on the defaults; mean of "
        f"{len(trials[DEFAULT])} seed(s), ± the gain's deviation over them"
    )
    head = ("", "steps", "loss", "accuracy", "patch score", "gain", "±")
    rows = [
        _row(variant.name, list(zip(results, trials[DEFAULT], strict=True)))
        for variant, results in trials.items()
    ]
    return Table(title, head, rows)


def _row(name: str, trials: Sequence[tuple[Result, Result]]) -> Row:
    """Of a variant's trials, each beside the defaults' of the same seed, if both were finished."""
    pairs = [pair for pair in trials if not any(GAVE_UP in one.facts for one in pair)]
    if not pairs:
        return (name, "gave up", *[""] * 5)
    own = [mine for mine, _ in pairs]
    lost = len(trials) - len(pairs)
    steps = [one.number("outer_steps") for one in own]
    scores = [one.number("patch_score") for one in own]
    gains = [mine.number("patch_score") - base.number("patch_score") for mine, base in pairs]
    spread, loss = deviation(gains), _loss(own)
    return (
        name + (f" (gave up on {lost})" if lost else ""),
        Value(f"{mean(steps):.0f}", list(steps)),
        Value("not finite" if loss is None else f"{loss:.3f}", loss),
        _three([one.number("accuracy") for one in own]),
        _three(scores),
        Value(f"{mean(gains):+.3f}", list(gains)),
        Value("" if spread is None else f"{spread:.3f}", spread),
    )


def _three(values: Sequence[float]) -> Value:
    return Value(f"{mean(values):.3f}", list(values))


def _loss(results: Sequence[Result]) -> float | None:
    """The mean over seeds and θ0; None where one is not finite."""
    every = [loss for one in results for loss in _losses(one)]
    losses = [loss for loss in every if loss is not None]
    return mean(losses) if losses and len(losses) == len(every) else None


def _losses(result: Result) -> list[float | None]:
    return TypeAdapter(list[float | None]).validate_python(result.facts["losses"])
