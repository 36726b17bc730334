"""``gdshare phantom``: make the synthetic films of a phantom hospital."""

from pathlib import Path
from typing import Annotated

import typer

from gdshare.cli.terminal import (
    AsJson,
    print_facts,
)
from gdshare.extras import require_extra
from gdshare.next_steps import commands
from gdshare.progress import progress


def phantom(
    out: Annotated[Path, typer.Option(help="Folder to create; it must be missing or empty.")],
    negatives: Annotated[int, typer.Option(min=0, help="Patients without gastritis.")] = 20,
    positives: Annotated[int, typer.Option(min=0, help="Patients with gastritis.")] = 20,
    size: Annotated[int, typer.Option(min=128, max=4096, help="Side of a film, px.")] = 512,
    site: Annotated[
        int,
        typer.Option(min=0, help="Which phantom hospital: its patients, the look of its films."),
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the patients.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Make SYNTHETIC stomach films with masks and diagnoses, to try everything out.

    They show no patient, and each film says so in its corner, its name and its metadata. The last
    line printed is the next command.
    """
    require_extra("films")
    from gdshare.films.phantom import write_phantom_cohort
    from gdshare.patches import Geometry

    with progress("drawing films") as report:
        table = write_phantom_cohort(
            out,
            site=site,
            negatives=negatives,
            positives=positives,
            size=size,
            seed=seed,
            progress=report,
        )
    kinds = f"{negatives} negative, {positives} positive, {size} x {size} px"
    facts = {"synthetic films": kinds, "table": table}
    following = commands.label(table, options=(str(Geometry.for_sides([size])),))
    print_facts(facts, as_json, following)


def register(app: typer.Typer) -> None:
    """Add ``phantom`` to the app."""
    app.command()(phantom)
