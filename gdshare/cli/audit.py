"""``gdshare audit``: attack a run's images before they leave the hospital."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from gdshare.cli.defaults import typed
from gdshare.cli.terminal import (
    AsJson,
    Device,
    print_json,
    print_line,
    print_next,
    print_table,
    resolve_device,
)
from gdshare.config import variable
from gdshare.errors import UsageError
from gdshare.extras import require_extra
from gdshare.next_steps import commands
from gdshare.progress import progress


def audit(
    run: Annotated[
        Path, typer.Argument(envvar=variable("run"), help="A finished run of gdshare distill.")
    ],
    cohort: Annotated[
        Path | None,
        typer.Argument(
            envvar=variable("cohort"), metavar="COHORT", help="The cohort it was distilled from."
        ),
    ] = None,
    cohort_option: Annotated[Path | None, typer.Option("--cohort", hidden=True)] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Attack what would leave: how much do the images reveal about your patients?

    Two attacks: can a network trained on the images tell training patients from test patients, and
    is an image close to a patient's patch? The figures are written to the run's audit.json, are
    included when the run is prepared or published, and can be limited by the policy. The training
    patch nearest to each image is kept beside them, for the page of gdshare prepare. A failed
    attack does not prove that the images reveal nothing.
    """
    require_extra("distill")
    from gdshare.audit import AUDIT
    from gdshare.audit.attack import audit_run
    from gdshare.cohort import open_cohort
    from gdshare.distill.run_folder import read_record

    chosen = cohort_option or cohort
    if chosen is None or (cohort_option and typed("cohort")):
        raise UsageError(
            "give the cohort that the run was distilled from, once",
            remedy=f"gdshare audit {quote(str(run))} COHORT",
        )
    read_record(run)  # of two wrong folders the first is named
    labelled, device_name = open_cohort(chosen), resolve_device(device)
    with progress("attacking patients") as report:
        attacks = audit_run(run, labelled, device_name, report).attacks
    if as_json:
        return print_json([attack.model_dump() for attack in attacks])
    rows = [
        (
            attack.name,
            f"{attack.figure:.3f}",
            f"{attack.low:.3f} to {attack.high:.3f}",
            f"{attack.unrelated:.3f}",
        )
        for attack in attacks
    ]
    columns = ("attack", "figure", "95% interval", "baseline")
    print_table("Higher figures reveal more", columns, rows)
    print_line(f"written to {run / AUDIT}")
    print_next(commands.prepare(run))
    return None


def register(app: typer.Typer) -> None:
    """Add ``audit`` to the app."""
    app.command()(audit)
