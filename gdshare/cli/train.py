"""``gdshare train``: a network from real patches, or the model a receiver of images would make."""

import logging
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from click.core import ParameterSource
from pydantic import JsonValue

from gdshare.cli.interruption import stop_requests
from gdshare.cli.terminal import (
    AsJson,
    Device,
    print_json,
    print_line,
    print_next,
    resolve_device,
)
from gdshare.errors import UsageError
from gdshare.extras import require_extra
from gdshare.progress import progress
from gdshare.protocol import MAX_ENSEMBLE
from gdshare.signing import load_public_key

if TYPE_CHECKING:
    from gdshare.contributions import Source
    from gdshare.training import TrainingPlan
    from gdshare.training_folder import Snapshot

log = logging.getLogger(__name__)

REAL, IMAGES = "From real patches", "From distilled images (--images)"
ONLY_REAL = ("network", "per_class", "epochs", "device", "resume")
ONLY_IMAGES = ("pooling", "ensemble", "key")
CHECKPOINT_S = 30.0
"""Between checkpoints; what a power cut costs at most."""


def train(
    context: typer.Context,
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="COHORT|RUN|BUNDLE...",
            help="Labelled cohorts, whose patches are pooled; with --images: finished runs of "
            "gdshare distill or bundles, one or several.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    images: Annotated[
        bool,
        typer.Option("--images", help="Train from distilled images, as a receiver of them would."),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random draw.")] = 0,
    network: Annotated[
        Literal["resnet18", "convnet"],
        typer.Option(help="Source: ResNet18.", rich_help_panel=REAL),
    ] = "resnet18",
    per_class: Annotated[
        int,
        typer.Option(
            min=1,
            help="Real patches per class. Source: 1000, 2000, 3000.",
            rich_help_panel=REAL,
        ),
    ] = 1000,
    epochs: Annotated[
        int,
        typer.Option(min=1, help="Maximum epochs; the best is kept.", rich_help_panel=REAL),
    ] = 30,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue the interrupted training in --out, with the options it began with.",
            rich_help_panel=REAL,
        ),
    ] = False,
    device: Device = "auto",
    pooling: Annotated[
        Literal["average", "in-step", "sequential", "union"],
        typer.Option(
            help="How a network is trained from all images; as in gdshare aggregate.",
            rich_help_panel=IMAGES,
        ),
    ] = "average",
    ensemble: Annotated[
        int,
        typer.Option(
            min=1,
            max=MAX_ENSEMBLE,
            help="Networks to train; they vote together. As in gdshare aggregate.",
            rich_help_panel=IMAGES,
        ),
    ] = 5,
    key: Annotated[
        list[Path] | None,
        typer.Option(
            help="A hospital's public key, NAME.pub, for the signatures of bundles. Repeatable. "
            "Without it signatures are not checked.",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a network on real patches, or the model that distilled images would give a receiver.

    On real patches it is the baseline for distilled images (Ex. I): learning rate and epoch are
    chosen on validation patients. The model is trained on patients' pixels and has not been tested
    for leaks: use it only inside the hospital. Ctrl-C stops after the current batch, and --resume
    continues from there, or after a power cut from at most a minute before; on a CPU the model is
    the same, bit for bit.

    With --images it is the model that gdshare aggregate would train from these runs or bundles
    with the same seed, bit for bit: see what your images teach before they leave.
    """
    require_extra("distill")
    if len({path.resolve() for path in sources}) < len(sources):
        raise UsageError("a folder is given twice", remedy="give each once")
    _require_fitting(context, images)
    if images:
        origin = _train_from_images(sources, out, pooling, ensemble, seed, key or ())
    else:
        origin = _train_on_cohorts(sources, out, _Given.on(context), resume)
    if as_json:
        return print_json({"model": str(out), **origin})
    if "patch_score" in origin:
        score = origin["patch_score"]
        print_line(f"patch score {score:.3f} (validation patients; chance is 0.333)")
    print_line(f"model       {out}")
    print_next(f"evaluate {quote(str(out))} COHORT")
    return None


def _require_fitting(context: typer.Context, images: bool) -> None:
    """Refuse an option that the other way of training has: it would be ignored."""
    for name in ONLY_REAL if images else ONLY_IMAGES:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"{option} has no effect {'with' if images else 'without'} --images",
                remedy="leave it out",
            )


@dataclass(frozen=True)
class _Given:
    """The plan's options, as far as somebody gave them; None: as the plan or the record says."""

    network: str | None
    per_class: int | None
    epochs: int | None
    seed: int | None
    device: str | None

    @classmethod
    def on(cls, context: typer.Context) -> "_Given":
        given = {
            name: context.params[name]
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
            else None
            for name in (field.name for field in fields(cls))
        }
        return cls(**given)

    def over(self, plan: "TrainingPlan") -> "TrainingPlan":
        changes = {name: value for name, value in asdict(self).items() if value is not None}
        changes.pop("device", None)
        return replace(plan, **changes)


def _train_on_cohorts(
    folders: Sequence[Path], out: Path, given: _Given, resume: bool
) -> dict[str, JsonValue]:
    from gdshare.cohort import open_cohort
    from gdshare.model import save_model
    from gdshare.training import TrainingPlan, plan_of, train_on_real, training_record
    from gdshare.training_folder import (
        finish,
        load_snapshot,
        open_training,
        read_training,
    )

    plan, device = TrainingPlan(), given.device or "auto"
    if resume:
        before = read_training(out)
        plan, device = plan_of(before), given.device or before.device
        _use_threads(before.threads)  # the bits depend on their number
    plan, device = given.over(plan), resolve_device(device)
    cohorts = [open_cohort(path) for path in folders]
    with open_training(out, training_record(cohorts, plan, device), resume):
        with (
            progress("training on real patches, batches") as report,
            stop_requests(announce=True) as stopping,
        ):
            keep = _Keeper(out, stopping, _how_to_continue(folders, out), time.monotonic())
            result = train_on_real(cohorts, plan, device, report, load_snapshot(out), keep)
        origin: dict[str, JsonValue] = {
            "trained_on": "real patches",
            "patches": result.patches,
            "rate": result.rate,
            "epoch": result.epoch,
            "patch_score": result.score,
        }
        save_model(out, result.model, origin)
        finish(out)
    return origin


@dataclass
class _Keeper:
    """Saves the state twice a minute, and when somebody asks the training to stop."""

    out: Path
    stopping: Callable[[], bool]
    how_to_continue: str
    saved: float

    def __call__(self, snapshot: "Callable[[], Snapshot]") -> None:
        from gdshare.training_folder import save_snapshot

        stop = self.stopping()
        if stop or time.monotonic() - self.saved >= CHECKPOINT_S:
            save_snapshot(self.out, snapshot())
            self.saved = time.monotonic()
        if stop:
            log.info("stopped; continue with: %s", self.how_to_continue)
            raise typer.Exit(130)


def _how_to_continue(cohorts: Sequence[Path], out: Path) -> str:
    return shlex.join(["gdshare", "train", *map(str, cohorts), "--out", str(out), "--resume"])


def _use_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)


def _train_from_images(
    folders: Sequence[Path],
    out: Path,
    pooling: Literal["average", "in-step", "sequential", "union"],
    ensemble: int,
    seed: int,
    keys: Sequence[Path],
) -> dict[str, JsonValue]:
    from gdshare.contributions import read_source, train_from
    from gdshare.model import save_model

    public, now = [load_public_key(path) for path in keys], datetime.now(UTC)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError("already exists", out, "choose another --out, or remove it first")
    sources = [read_source(path, now, public) for path in folders]
    unchecked = [str(source.path) for source in sources if not (keys or source.is_run)]
    if unchecked:
        log.warning(
            "warning: the signature of %s was not checked; give the hospital's key with --key",
            ", ".join(unchecked),
        )
    with progress("training networks") as report:
        model = train_from(sources, pooling, seed, ensemble, report)
    origin: dict[str, JsonValue] = {
        "trained_on": "distilled images",
        "bundles": {_name(source): source.digest for source in sources},
        "pooling": pooling,
        "ensemble": len(model.ensemble),
        "seed": seed,
    }
    save_model(out, model, origin)
    return origin


def _name(source: "Source") -> str:
    """The hospital's name; a run has none yet, and its folder's name stands for it."""
    return str(source.path) if source.is_run else source.contribution.site


def register(app: typer.Typer) -> None:
    """Add ``train`` to the app."""
    app.command()(train)
