"""``gdshare classify``: classify single films."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gdshare.cli.terminal import AsJson, Device, print_json, print_table, resolve_device
from gdshare.extras import require_extra
from gdshare.films import read_film
from gdshare.films.film import warn_of_narrow_range
from gdshare.metrics import SOURCE_THRESHOLD
from gdshare.progress import progress

if TYPE_CHECKING:
    from gdshare.vote import Votes


def classify(
    model: Annotated[Path, typer.Argument(help="A trained model's folder.")],
    films: Annotated[list[Path], typer.Argument(help="Gray-scale films: DICOM, PNG or TIFF.")],
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
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Cut each film into windows, classify each, and print the film's verdict and its votes.

    A film without any N or P vote is indeterminate: a person must look at it. For research only;
    not a medical device.
    """
    require_extra("distill")
    from gdshare.model import load_model
    from gdshare.vote import film_votes, predictor

    trained, record = load_model(model)
    value = threshold if threshold is not None else record.origin.get("threshold")
    epsilon = float(value) if isinstance(value, float) else SOURCE_THRESHOLD
    predict = predictor(trained, resolve_device(device))
    results: list[tuple[Path, Votes]] = []
    with progress("classifying films") as report:
        for path in films:
            film = read_film(path, spacing_mm)
            warn_of_narrow_range(film)
            results.append((path, film_votes(film, trained.protocol, predict)))
            report(len(results), len(films))
    if as_json:
        return print_json([_as_data(path, votes, epsilon) for path, votes in results])
    rows = [
        (path, verdict(votes, epsilon), f"{votes.ratio:.3f}", votes.i, votes.n, votes.p)
        for path, votes in results
    ]
    print_table(
        f"ε = {epsilon:.2f}", ("film", "verdict", "ratio", "I votes", "N votes", "P votes"), rows
    )
    return None


def verdict(votes: "Votes", threshold: float) -> str:
    """Positive, negative or indeterminate."""
    if votes.indeterminate:
        return "indeterminate"
    return "positive" if votes.positive_at(threshold) else "negative"


def _as_data(path: Path, votes: "Votes", threshold: float) -> dict[str, object]:
    return {
        "film": str(path),
        "verdict": verdict(votes, threshold),
        "ratio": None if votes.indeterminate else votes.ratio,
        "threshold": threshold,
        "votes": {"I": votes.i, "N": votes.n, "P": votes.p},
    }


def register(app: typer.Typer) -> None:
    """Add ``classify`` to the app."""
    app.command()(classify)
