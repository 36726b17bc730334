"""``gdshare train``: the baseline, an ordinary network trained on real patches."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import JsonValue

from gdshare.cli.terminal import AsJson, Device, print_json, print_line, progress, resolve_device
from gdshare.errors import UsageError
from gdshare.extras import require_extra


def train(
    cohorts: Annotated[list[Path], typer.Argument(help="Labelled cohorts; several are pooled.")],
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    network: Annotated[
        Literal["resnet18", "convnet"], typer.Option(help="Source: ResNet18.")
    ] = "resnet18",
    per_class: Annotated[
        int, typer.Option(min=1, help="Real patches per class. Source: 1000, 2000, 3000.")
    ] = 1000,
    epochs: Annotated[int, typer.Option(min=1, help="Maximum epochs; the best is kept.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random draw.")] = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train an ordinary network on real patches, as a baseline for distilled images (Ex. I).

    Learning rate and epoch are chosen on validation patients. The model is trained on patients'
    pixels and has not been tested for leaks: use it only inside the hospital.
    """
    require_extra("distill")
    from gdshare.cohort import open_cohort
    from gdshare.model import save_model
    from gdshare.training import TrainingPlan, train_on_real

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError("already exists", out, "choose another --out, or remove it first")
    if len({path.resolve() for path in cohorts}) < len(cohorts):
        raise UsageError("a cohort is given twice", remedy="give each cohort once")
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
    if as_json:
        return print_json({"model": str(out), **origin})
    print_line(f"patch score {result.score:.3f} (validation patients; chance is 0.333)")
    print_line(f"model       {out}")
    return None


def register(app: typer.Typer) -> None:
    """Add ``train`` to the app."""
    app.command()(train)
