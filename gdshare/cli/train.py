"""``gdshare train``: a network from real patches, or the model a receiver of images would make."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from click.core import ParameterSource
from pydantic import JsonValue

from gdshare.cli.terminal import AsJson, Device, print_json, progress, resolve_device
from gdshare.errors import UsageError
from gdshare.extras import require_extra
from gdshare.protocol import MAX_ENSEMBLE
from gdshare.signing import load_public_key

if TYPE_CHECKING:
    from gdshare.contributions import Source

log = logging.getLogger(__name__)

REAL, IMAGES = "From real patches", "From distilled images (--images)"
ONLY_REAL = ("network", "per_class", "epochs", "device")
ONLY_IMAGES = ("pooling", "ensemble", "key")


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
    for leaks: use it only inside the hospital.

    With --images it is the model that gdshare aggregate would train from these runs or bundles
    with the same seed, bit for bit: see what your images teach before they leave.
    """
    require_extra("distill")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError("already exists", out, "choose another --out, or remove it first")
    if len({path.resolve() for path in sources}) < len(sources):
        raise UsageError("a folder is given twice", remedy="give each once")
    _require_fitting(context, images)
    if images:
        origin = _train_from_images(sources, out, pooling, ensemble, seed, key or ())
    else:
        origin = _train_on_cohorts(sources, out, network, per_class, epochs, seed, device)
    if as_json:
        return print_json({"model": str(out), **origin})
    if "patch_score" in origin:
        score = origin["patch_score"]
        typer.echo(f"patch score {score:.3f} (validation patients; chance is 0.333)")
    typer.echo(f"model       {out}")
    typer.echo(f"go on with  gdshare evaluate {quote(str(out))} COHORT")
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


def _train_on_cohorts(
    cohorts: Sequence[Path],
    out: Path,
    network: str,
    per_class: int,
    epochs: int,
    seed: int,
    device: str,
) -> dict[str, JsonValue]:
    from gdshare.cohort import open_cohort
    from gdshare.model import save_model
    from gdshare.training import TrainingPlan, train_on_real

    plan = TrainingPlan(network=network, per_class=per_class, epochs=epochs, seed=seed)
    with progress("training on real patches, epochs") as report:
        result = train_on_real(
            [open_cohort(path) for path in cohorts], plan, resolve_device(device), report
        )
    origin: dict[str, JsonValue] = {
        "trained_on": "real patches",
        "patches": result.patches,
        "rate": result.rate,
        "epoch": result.epoch,
        "patch_score": result.score,
    }
    save_model(out, result.model, origin)
    return origin


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
