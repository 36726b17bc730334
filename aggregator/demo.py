"""``gdshare demo``: the main job on three phantom hospitals, from films to one table."""

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from gdshare.cli.terminal import (
    AsJson,
    print_facts,
    print_line,
    print_text,
)
from gdshare.extras import require_extra
from gdshare.method import Settings
from gdshare.protocol import Protocol

if TYPE_CHECKING:
    from aggregator.trial.plan import Show, Trial

log = logging.getLogger(__name__)

NAMES = ("north", "south", "east")
NEGATIVES = POSITIVES = 20
SIZE = 256
PROTOCOL = Protocol(patch=40, stride=16, side=16)
SETTINGS = Settings(outer_steps=200, score_every=20, batch=1500)
BASELINE = "convnet"


def demo(
    out: Annotated[
        Path,
        typer.Option(help="Folder for everything it makes; an interrupted demo goes on there."),
    ] = Path("demo-out"),
    seed: Annotated[int, typer.Option(min=0, help="Decides films, splits and every draw.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Run the whole main job on three phantom hospitals, on SYNTHETIC films.

    Each hospital labels patches, distils them to three images, signs and releases a bundle; a real
    SuperLink and three SuperNodes on this machine collect, verify, pool, train and count. To take
    minutes on two cores it uses small films, small patches and few steps: it shows how it
    works, not how well.
    """
    require_extra("federation")
    from aggregator.trial.run import run_trial
    from aggregator.trial.terminal import bar_on_terminal

    with bar_on_terminal() as show:
        plan = _plan(out, seed, show)
        table = run_trial(plan, out, datetime.now(UTC), show)
    facts = {
        "table": out / "table.md",
        "model": out / "round" / "model",
        "what left": out / "sites" / NAMES[0] / "outbox",
        "preview": out / "sites" / NAMES[0] / "run" / "preview.png",
    }
    if not as_json:
        _print(table)
    print_facts(facts, as_json)


def _print(table: str) -> None:
    console = Console()
    if console.is_terminal:
        console.print(Markdown(table))
    else:
        print_text(f"{table}\n")
    print_line(
        "SYNTHETIC films, small ones, and few steps: this shows that it works, not how well."
    )


def _plan(out: Path, seed: int, show: "Show") -> "Trial":
    """Draw the phantom hospitals that do not exist yet, and plan the trial."""
    from aggregator.trial.plan import Hospital, Trial
    from gdshare.films.phantom import write_phantom_cohort
    from gdshare.training import TrainingPlan

    hospitals = []
    for site, name in enumerate(NAMES):
        folder = out / "sites" / name / "films"
        if not folder.exists():
            log.info("%s: drawing %d SYNTHETIC films", name, NEGATIVES + POSITIVES)
            write_phantom_cohort(
                folder,
                site=site,
                negatives=NEGATIVES,
                positives=POSITIVES,
                size=SIZE,
                seed=seed,
                progress=lambda done, total, name=name: show(f"{name}: films", done, total),  # type: ignore[misc]
            )
        hospitals.append(Hospital(name, folder / "labels.csv"))
    return Trial(
        hospitals=hospitals,
        protocol=PROTOCOL,
        settings=SETTINGS.model_copy(update={"seed": seed}),
        baseline=TrainingPlan(network=BASELINE, per_class=300, epochs=10, rates=(1e-3,), seed=seed),
        split=(0.5, 0.25, 0.25),
        minimum_films=5,
    )


def register(app: typer.Typer) -> None:
    """Add ``demo`` to ``gdshare``."""
    app.command()(demo)
