"""``gdshare train``: the baseline, an ordinary network on real patches."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import JsonValue

from gdshare.cli.terminal import AsJson, Device, chosen_device, print_json, progress
from gdshare.errors import UsageError
from gdshare.extras import require_extra


def train(
    cohorts: Annotated[list[Path], typer.Argument(help="Labelled cohorts, pooled if several.")],
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    network: Annotated[
        Literal["resnet18", "convnet"], typer.Option(help="Source: ResNet18.")
    ] = "resnet18",
    per_class: Annotated[
        int, typer.Option(min=1, help="Real patches of each class. Source: 1000, 2000, 3000.")
    ] = 1000,
    epochs: Annotated[int, typer.Option(min=1, help="Passes at the most; the best is kept.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Decides every draw.")] = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train an ordinary network on real patches, to hold a distilled set against (Ex. I).

    Learning rate and epoch are chosen on validation patients. The model was trained on patients'
    pixels and has not been examined for what it gives away: it is for use inside the hospital.
    """
    require_extra("distill")
    from gdshare.cohort import open_cohort
    from gdshare.model import save_model
    from gdshare.training import TrainingPlan, train_on_real

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError("already exists", out, "choose another --out, or remove it first")
    if len({path.resolve() for path in cohorts}) < len(cohorts):
        raise UsageError("a cohort is given twice", remedy="give each once")
    plan = TrainingPlan(network=network, per_class=per_class, epochs=epochs, seed=seed)
    with progress("training on real patches, epochs") as report:
        found = train_on_real(
            [open_cohort(path) for path in cohorts], plan, chosen_device(device), report
        )
    origin: dict[str, JsonValue] = {
        "trained_on": "real patches",
        "patches": found.patches,
        "rate": found.rate,
        "epoch": found.epoch,
        "patch_score": found.score,
    }
    save_model(out, found.model, origin)
    if as_json:
        return print_json({"model": str(out), **origin})
    typer.echo(f"patch score {found.score:.3f} (validation patients; guessing is 0.333)")
    typer.echo(f"model       {out}")
    return None


def register(app: typer.Typer) -> None:
    """Add ``train`` to the app."""
    app.command()(train)
