"""``gdshare report``: the page of a finished run, trial or round."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gdshare.cli.terminal import AsJson, print_facts
from gdshare.errors import UsageError
from gdshare.extras import require_extra

if TYPE_CHECKING:
    from gdshare.report.page import Page


def report(
    folder: Annotated[
        Path,
        typer.Argument(help="Of gdshare distill, demo or aggregate; the last with --out."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The page. Default: report.html in the folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a page of a run, a demo or a round: one HTML file that opens without the internet.

    It begins with one sentence and one picture. Demo, aggregate and evaluate --report make theirs
    themselves. That of a run never leaves the hospital.
    """
    require_extra("distill")
    from gdshare.report.page import PAGE, write_page

    page = _page(folder, out)
    print_facts({"page": write_page(out or folder / PAGE, page)}, as_json)


def _page(folder: Path, out: Path | None) -> "Page":
    """By the file that only this kind of folder has."""
    if (folder / "trial.json").exists():
        from gdshare.report.page import PAGE
        from gdshare.report.trial_page import trial_page

        if out is None and (folder / PAGE).exists():
            raise UsageError(
                "is there, and may show films that this command does not know of",
                folder / PAGE,
                "open it, or give --out",
            )
        return trial_page(folder, f"A trial: {folder.name}", ())
    if (folder / "round.json").exists():
        from gdshare.report.round_page import read_round, round_page

        if out is None:
            raise UsageError(
                "the round wrote its page itself, with the bundles' images, which are not kept",
                folder,
                "open report.html in it, or give --out for a page without them",
            )
        return round_page(read_round(folder), (), folder.name)
    from gdshare.report.run_page import run_page

    return run_page(folder)


def register(app: typer.Typer) -> None:
    """Add ``report`` to the app."""
    app.command()(report)
