"""``gdshare audit``: attack a run's images before they leave."""

from pathlib import Path
from typing import Annotated

import typer

from gdshare.cli.terminal import AsJson, Device, chosen_device, print_json, print_table, progress
from gdshare.extras import require_extra


def audit(
    run: Annotated[Path, typer.Argument(help="A finished run, made by `gdshare distill`.")],
    cohort: Annotated[Path, typer.Option(help="The cohort it was distilled from.")],
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Attack what would leave: what can be found out about your patients from the images?

    Two attacks: whether a network trained from the images tells training patients from others
    (test patients), and whether an image is close to somebody's patch. What comes out stands in the
    run's audit.json; from then on it is part of what is prepared and published, and a policy may
    set bounds to it. No attack finding anything is no proof that there is nothing.
    """
    require_extra("distill")
    from gdshare.audit import write_attacks
    from gdshare.audit.attack import attack_run
    from gdshare.cohort import open_cohort
    from gdshare.distill.folder import read_record, read_result

    record, distilled = read_record(run), read_result(run)
    labelled, place = open_cohort(cohort), chosen_device(device)
    with progress("patients asked about") as report:
        attacks = attack_run(record, distilled, labelled, place, report)
    path = write_attacks(run, distilled, attacks)
    if as_json:
        return print_json([one.model_dump() for one in attacks])
    rows = [
        (one.name, f"{one.figure:.3f}", f"{one.low:.3f} to {one.high:.3f}", f"{one.unrelated:.3f}")
        for one in attacks
    ]
    columns = ("attack", "figure", "95% interval", "where nothing is known")
    print_table("The more an attack finds out, the higher its figure", columns, rows)
    typer.echo(f"written to {path}")
    return None


def register(app: typer.Typer) -> None:
    """Add ``audit`` to the app."""
    app.command()(audit)
