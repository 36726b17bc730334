"""``gdshare classify``: classify films, and show how their windows voted."""

import logging
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gdshare.cli.exit_status import USAGE
from gdshare.cli.terminal import AsJson, Device, print_json, print_line, resolve_device
from gdshare.errors import FilmError, UsageError
from gdshare.extras import require_extra
from gdshare.metrics import SOURCE_THRESHOLD
from gdshare.progress import progress

if TYPE_CHECKING:
    from gdshare.report.vote_files import VoteRecord

log = logging.getLogger(__name__)

LINE = "{verdict:<13} {ratio:>7} {i:>6} {n:>6} {p:>6}  {film}"
HEAD = {"verdict": "verdict", "ratio": "ratio", "i": "I", "n": "N", "p": "P", "film": "film"}


def classify(
    model: Annotated[Path, typer.Argument(help="A trained model's folder.")],
    films: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILM|DIR...",
            help="Gray-scale films: DICOM, PNG or TIFF; or folders of them, searched recursively.",
        ),
    ],
    map_folder: Annotated[
        Path | None,
        typer.Option(
            "--map",
            metavar="OUT",
            help="Keep each film's votes in this folder: a picture (of a DICOM film as DICOM too), "
            "every window, and a table of all films. Films that it has already of the same model "
            "are not classified again.",
        ),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="px between windows, in the protocol's pixels. Default: the model's own, for "
            "which ε was fixed; twice as much takes a quarter of the time.",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="ε of Eq. 4. Default: the model's own, or 0.4."),
    ] = None,
    spacing_mm: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=10.0,
            help="Pixel size, mm, if the model needs it and the file lacks it.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes that classify at once. Default: as many as cores, where there are many "
            "films; one on a GPU.",
        ),
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Cut each film into windows, classify each, and print the film's verdict and its votes.

    A film without any N or P vote is indeterminate: a person must look at it. What is no film is
    refused, and the others are classified all the same. For research only; not a medical device.
    """
    require_extra("distill")
    from gdshare.model import load_model
    from gdshare.report.vote_files import begin, write_table
    from gdshare.report.vote_job import VoteJob, classify_films, default_workers

    trained, record = load_model(model)
    own = record.threshold if record.threshold is not None else SOURCE_THRESHOLD
    epsilon = own if threshold is None else threshold
    named = _named(films, map_folder)
    protocol = trained.protocol.model_copy(update={"stride": stride} if stride else {})
    processor = resolve_device(device)
    job = VoteJob(
        trained.network, trained.to_bytes(), protocol, epsilon, processor, spacing_mm, map_folder
    )
    processes = min(workers or default_workers(len(named), processor), len(named))
    if map_folder is not None:
        begin(map_folder)
    if not as_json:
        print_line(f"ε = {epsilon:.2f}")
        print_line(LINE.format(**HEAD))
    seen: dict[Path, VoteRecord] = {}
    with (
        closing(classify_films(job, named, processes)) as outcomes,
        progress("classifying films") as report,
    ):
        for done, (name, outcome) in enumerate(outcomes, start=1):
            if isinstance(outcome, FilmError):
                if len(named) == 1:
                    raise outcome
                log.error("%s", outcome)
            else:
                seen[named[name]] = outcome
                if not as_json:
                    print_line(_line(named[name], outcome))
            report(done, len(named))
    if map_folder is not None:
        write_table(map_folder, list(seen.values()))
        log.info("pictures, votes and table in %s", map_folder)
    if as_json:
        print_json([_as_data(path, own) for path, own in seen.items()])
    if refused := len(named) - len(seen):
        log.error("%d of %d files refused", refused, len(named))
        raise typer.Exit(USAGE)


def _named(films: Sequence[Path], out: Path | None) -> dict[str, Path]:
    """The files to classify, by their names in a map folder: below their folder, or alone."""
    named: dict[str, Path] = {}
    for given in films:
        folder = given if given.is_dir() else given.parent
        files = _below(given, out) if given.is_dir() else [given]
        for path in files:
            name = path.relative_to(folder).as_posix()
            if name in named:
                raise UsageError(f"two films are called {name}", path, "classify them apart")
            named[name] = path
    if not named:
        raise UsageError("no file in it", films[0], "give films, or a folder of them")
    return named


def _below(folder: Path, out: Path | None) -> list[Path]:
    """A folder's files, those of its subfolders too, but for the map folder's; sorted."""
    files: list[Path] = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            log.warning("%s: a symbolic link, not followed", path)
        elif path.is_file() and not (out and path.resolve().is_relative_to(out.resolve())):
            files.append(path)
    return files


def _line(path: Path, record: "VoteRecord") -> str:
    votes = record.seen.votes
    ratio = "" if record.ratio is None else f"{record.ratio:.3f}"
    cells = {"verdict": record.verdict, "ratio": ratio, "film": path}
    return LINE.format(**cells, i=votes.i, n=votes.n, p=votes.p)


def _as_data(path: Path, record: "VoteRecord") -> dict[str, object]:
    votes = record.seen.votes
    return {
        "film": str(path),
        "verdict": record.verdict,
        "ratio": record.ratio,
        "threshold": record.threshold,
        "votes": {"I": votes.i, "N": votes.n, "P": votes.p},
    }


def register(app: typer.Typer) -> None:
    """Add ``classify`` to the app."""
    app.command()(classify)
