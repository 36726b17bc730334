"""What a run's images teach, as prepare and publish need it: kept from the run, or measured now."""

from pathlib import Path
from typing import Annotated

import typer

from gdshare.distill.run_folder import is_guarded, read_record, read_result, read_theta0
from gdshare.distill.score_record import ScoreRecord, read_score
from gdshare.errors import UsageError
from gdshare.extras import require_extra
from gdshare.progress import progress

ScoredOn = Annotated[
    Path | None,
    typer.Argument(
        metavar="[COHORT]",
        help="The cohort that the run was distilled from: measure again what the images teach. "
        "Default: the figure that gdshare distill kept.",
    ),
]
AtChance = Annotated[
    bool,
    typer.Option("--at-chance", help="Release images even if they teach no more than guessing."),
]


def measured_score(run: Path, cohort: Path | None) -> ScoreRecord:
    """The patch score of a finished run's result.

    Args:
        run: the run's folder.
        cohort: that it was distilled from, to measure again; None: the run's own record.

    Raises:
        RunError: the run is not finished, or nobody measured.
        UsageError: the run was distilled from another cohort, or under a guarantee; or PyTorch is
            not installed.
    """
    distilled = read_result(run)
    if cohort is None:
        return read_score(run, distilled)
    if is_guarded(run, read_record(run)):
        raise UsageError(
            "this run has a guarantee, and a score on validation patients would be outside it",
            cohort,
            "leave the cohort out: the run has a score on surrogates",
        )
    require_extra("distill")
    from gdshare.cohort import open_cohort
    from gdshare.distill.loop import score_run

    with progress("measuring what the images teach"):
        labelled, theta0 = open_cohort(cohort), read_theta0(run)
        return score_run(read_record(run), distilled, labelled, theta0=theta0)
