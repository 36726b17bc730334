"""``gdshare train``: a network from real patches, which others' images may help, or the model that
a receiver of images would make.
"""

import logging
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from click.core import ParameterSource
from pydantic import JsonValue

from gdshare.cli.interruption import stop_requests
from gdshare.cli.others_images import USE, Others
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
from gdshare.next_steps import Command, Word
from gdshare.progress import progress
from gdshare.protocol import MAX_ENSEMBLE
from gdshare.signing import load_public_key

if TYPE_CHECKING:
    from gdshare.contributions import Source
    from gdshare.training import TrainingPlan
    from gdshare.training_folder import Snapshot, Use

log = logging.getLogger(__name__)

REAL, IMAGES = "From real patches", "From distilled images (--images, --from)"
TRANSFER = "From real patches, with others' images (--from)"
FITTING = {
    **dict.fromkeys(("per_class", "epochs", "device", "resume"), ("", "--from")),
    **dict.fromkeys(("pooling", "key"), ("--images", "--from")),
    **dict.fromkeys(("use", "name"), ("--from",)),
    "network": ("",),
    "ensemble": ("--images",),
    "images": ("--images",),
}
"""Option -> the ways of training that it has an effect on, by the option that chooses them."""
Pooling = Literal["average", "in-step", "sequential", "union"]
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
    others: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="BUNDLE",
            help="A bundle of another hospital, or a run, whose images help. Repeatable.",
            rich_help_panel=TRANSFER,
        ),
    ] = None,
    use: Annotated[
        Literal["start", "mix", "both"],
        typer.Option(
            help="start: begin with the network that the images teach, and never score worse on "
            "validation patients. mix: every batch also has the images.",
            rich_help_panel=TRANSFER,
        ),
    ] = USE,
    name: Annotated[
        str | None,
        typer.Option(
            help="This hospital's short name; a bundle that names its recipients must name it.",
            rich_help_panel=TRANSFER,
        ),
    ] = None,
    images: Annotated[
        bool,
        typer.Option("--images", help="Train from distilled images, as a receiver of them would."),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random draw.")] = 0,
    network: Annotated[
        Literal["resnet18", "convnet", "scattering"],
        typer.Option(
            help="Source: ResNet18. scattering: its last layer, solved at once.",
            rich_help_panel=REAL,
        ),
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
        Pooling,
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

    On real patches it is the baseline for distilled images (Ex. I): learning rate and epoch, or
    the penalty of a last layer that is solved, are chosen on validation patients. The model is
    trained on patients' pixels and has not been tested for leaks: use it only inside the hospital.
    Ctrl-C stops after the current batch, and --resume continues from there, or after a power cut
    from at most a minute before; on a CPU the model is the same, bit for bit.

    With --images it is the model that gdshare aggregate would train from these runs or bundles
    with the same seed, bit for bit: see what your images teach before they leave.

    With --from a hospital that has few films trains on its own, helped by other hospitals' images.
    The network is the one they were distilled on, and the cohort's patch protocol must be theirs.
    What is chosen, the images' weight too, is chosen on your own validation patients.
    """
    require_extra("distill")
    folders = [*sources, *(others or ())]
    if len({path.resolve() for path in folders}) < len(folders):
        raise UsageError("a folder is given twice", remedy="give each once")
    _require_fitting(context, "--from" if others else "--images" if images else "")
    if images:
        origin = _train_from_images(sources, out, pooling, ensemble, seed, key or ())
    else:
        given = _Given.on(context)
        help_from = _read_others(others, given, name, key or ()) if others else None
        origin = _train_on_cohorts(sources, out, given, resume, help_from)
    if as_json:
        return print_json({"model": str(out), **origin})
    if "others_score" in origin:
        score = origin["others_score"]
        print_line(f"patch score {score:.3f} of the others' images alone (validation patients)")
    if "patch_score" in origin:
        score = origin["patch_score"]
        print_line(f"patch score {score:.3f} (validation patients; chance is 0.333)")
    print_line(f"model       {out}")
    print_next(Command("evaluate", (Word(out), Word(None, "COHORT", key="cohort"))))
    return None


def _require_fitting(context: typer.Context, way: str) -> None:
    """Refuse an option that only another way of training has: it would be ignored."""
    for name, ways in FITTING.items():
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and way not in ways:
            option = f"--{name.replace('_', '-')}"
            where = f"with {way}" if way else f"without {' or '.join(ways)}"
            raise UsageError(f"{option} has no effect {where}", remedy="leave it out")


@dataclass(frozen=True)
class _Given:
    """The plan's options, as far as somebody gave them; None: as the plan or the record says."""

    network: str | None
    per_class: int | None
    epochs: int | None
    seed: int | None
    device: str | None
    use: "Use | None"
    pooling: Pooling | None

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
        own = {field.name for field in fields(plan)}
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return replace(plan, **{name: value for name, value in given.items() if name in own})


def _read_others(
    folders: Sequence[Path], given: _Given, name: str | None, keys: Sequence[Path]
) -> Others:
    from gdshare.contributions import poolable, require_recipient

    sources = _read_sources(folders, keys)
    poolable(sources)
    for source in sources:
        require_recipient(source, name)
    words = [word for path in folders for word in ("--from", str(path))]
    words += [word for path in keys for word in ("--key", str(path))]
    words += ["--name", name] if name else []
    return Others(sources, words, given.use, given.pooling)


def _train_on_cohorts(
    folders: Sequence[Path], out: Path, given: _Given, resume: bool, others: Others | None
) -> dict[str, JsonValue]:
    from gdshare.cohort import open_cohort
    from gdshare.method import ONLY_HEAD
    from gdshare.model import save_model
    from gdshare.training import TrainingPlan, plan_of, train_on_real, training_record
    from gdshare.training_folder import (
        finish,
        load_snapshot,
        open_training,
        read_training,
    )

    plan, device, before = TrainingPlan(), given.device or "auto", None
    if resume:
        before = read_training(out)
        plan, device = plan_of(before), given.device or before.device
        _use_threads(before.threads)  # the bits depend on their number
    plan, device = given.over(plan), resolve_device(device)
    cohorts = [open_cohort(path) for path in folders]
    if others:
        others, plan = others.after(before), replace(plan, network=others.network)
        others.require_protocol(cohorts)
    if given.epochs and plan.network == ONLY_HEAD:
        what = f"--epochs has no effect on {ONLY_HEAD}, whose last layer is solved at once"
        raise UsageError(what, remedy="leave it out")
    record = training_record(cohorts, plan, device)
    with open_training(out, others.on(record) if others else record, resume):
        transfer = others.transfer(plan.seed) if others else None
        with (
            progress("training on real patches, batches") as report,
            stop_requests(announce=True) as stopping,
        ):
            words = _how_to_continue(folders, out, others.words if others else ())
            keep = _Keeper(out, stopping, words, time.monotonic())
            start = load_snapshot(out)
            result = train_on_real(cohorts, plan, device, report, start, keep, transfer)
        origin: dict[str, JsonValue] = {
            "trained_on": "real patches",
            "patches": result.patches,
            **(
                {"penalty": result.penalty}
                if plan.network == ONLY_HEAD
                else {"rate": result.rate, "epoch": result.epoch}
            ),
            "patch_score": result.score,
            **(others.origin(result, plan.seed) if others else {}),
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

    def __call__(self, snapshot: "Callable[[], Snapshot] | None") -> None:
        from gdshare.training_folder import save_snapshot

        stop = self.stopping()
        if snapshot and (stop or time.monotonic() - self.saved >= CHECKPOINT_S):
            save_snapshot(self.out, snapshot())
            self.saved = time.monotonic()
        if stop:
            log.info("stopped; continue with: %s", self.how_to_continue)
            raise typer.Exit(130)


def _how_to_continue(cohorts: Sequence[Path], out: Path, others: Sequence[str]) -> str:
    words = ["gdshare", "train", *map(str, cohorts), *others, "--out", str(out), "--resume"]
    return shlex.join(words)


def _use_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)


def _train_from_images(
    folders: Sequence[Path],
    out: Path,
    pooling: Pooling,
    ensemble: int,
    seed: int,
    keys: Sequence[Path],
) -> dict[str, JsonValue]:
    from gdshare.contributions import train_from
    from gdshare.model import save_model

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError("already exists", out, "choose another --out, or remove it first")
    sources = _read_sources(folders, keys)
    with progress("training networks") as report:
        model = train_from(sources, pooling, seed, ensemble, report)
    origin: dict[str, JsonValue] = {
        "trained_on": "distilled images",
        "bundles": {source.name: source.digest for source in sources},
        "pooling": pooling,
        "ensemble": len(model.ensemble),
        "seed": seed,
    }
    save_model(out, model, origin)
    return origin


def _read_sources(folders: Sequence[Path], keys: Sequence[Path]) -> "list[Source]":
    """Read runs and bundles, and warn of signatures that were not checked."""
    from gdshare.contributions import read_source

    public, now = [load_public_key(path) for path in keys], datetime.now(UTC)
    sources = [read_source(path, now, public) for path in folders]
    unchecked = [str(source.path) for source in sources if not (keys or source.is_run)]
    if unchecked:
        log.warning(
            "warning: the signature of %s was not checked; give the hospital's key with --key",
            ", ".join(unchecked),
        )
    return sources


def register(app: typer.Typer) -> None:
    """Add ``train`` to the app."""
    app.command()(train)
