"""``gdshare review``: list the films that may show a name, and release or reject them."""

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gdshare.cli.boxes import parse_box
from gdshare.cli.operator import operator_name
from gdshare.cli.terminal import AsJson, print_json, print_line, print_next, print_table
from gdshare.config import variable
from gdshare.errors import UsageError
from gdshare.extras import require_extra
from gdshare.films.box import Box
from gdshare.next_steps import commands
from gdshare.progress import progress

if TYPE_CHECKING:
    from gdshare.store import Store

log = logging.getLogger(__name__)


def review(
    store: Annotated[
        Path, typer.Argument(envvar=variable("store"), help="A store made by gdshare import.")
    ],
    films: Annotated[
        list[str] | None,
        typer.Argument(help="Films to release or reject. Without any: list those held."),
    ] = None,
    release: Annotated[
        bool, typer.Option("--release", help="They show nothing that identifies anybody.")
    ] = False,
    reject: Annotated[
        bool, typer.Option("--reject", help="Delete their pixels; they can never be used.")
    ] = False,
    by: Annotated[
        str | None, typer.Option(help="The reviewer. Default: this computer's user.")
    ] = None,
    crop_border: Annotated[
        int, typer.Option(min=0, help="First black out so many px along every edge.")
    ] = 0,
    mask_boxes: Annotated[
        list[str] | None,
        typer.Option(metavar="L,T,R,B", help="First black out this box, px. Repeatable."),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Run the detector on films whose header says NO, too. Unreviewed films in which "
            "it finds something are held from then on.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the films held for review, or release or reject some; every decision is recorded.

    Look at the pictures first. The list shows where a detector finds something like text. It misses
    some text, so a film without findings is not cleared.
    """
    require_extra("dicom")
    from gdshare.store import Decision, open_store, review_film
    from gdshare.store.record import MAX_REVIEWER

    opened = open_store(store)
    if not films:
        if release or reject:
            raise UsageError("--release and --reject need films", remedy="name them")
        return _list_held(opened, everything, as_json)
    if by is not None and not 0 < len(by) <= MAX_REVIEWER:
        raise UsageError(
            "is empty or too long", "--by", f"give a name of 1 to {MAX_REVIEWER} characters"
        )
    if release == reject:
        raise UsageError("no decision, or two", remedy="give either --release or --reject")
    if reject and (crop_border or mask_boxes):
        raise UsageError(
            "--crop-border and --mask-boxes are for --release",
            remedy="leave them out",
        )
    boxes = [parse_box(text, "--mask-boxes") for text in mask_boxes or ()]
    reviewer, now = operator_name(by), datetime.now(UTC)
    decision: Decision = "release" if release else "reject"
    reviewed = []
    for name in films:
        reviewed.append(review_film(opened, name, decision, reviewer, now, boxes, crop_border))
        if not as_json:  # printed at once: the next film may fail
            print_line(f"{name}  {reviewed[-1].state}")
    if as_json:
        return print_json([film.model_dump(mode="json") for film in reviewed])
    print_next(commands.outline(store))
    return None


def _list_held(store: "Store", everything: bool, as_json: bool) -> None:
    from gdshare.films.burned_in import find_text
    from gdshare.store import detect_text

    before = {film.film for film in store.films() if film.state == "held"}
    with progress("detecting text") as report:
        detect_text(store, find_text, everything, report)
    films = [film for film in store.films() if film.state == "held"]
    if as_json:
        return print_json([film.model_dump(mode="json") for film in films])
    if count := sum(film.film not in before for film in films):
        log.info("released films that are held now: %d", count)
    rows = [(film.film, "; ".join(film.reasons), _places(film.text)) for film in films]
    print_table(f"{store.path}: {len(films)} films held", ("film", "why", "text at"), rows)
    print_line(f"pictures  {store.folder}/FILM.tif")
    print_next(commands.outline(store.path), ", which shows them" if films else "")
    return None


def _places(boxes: tuple[Box, ...] | None) -> str:
    """At most three, to fit the line."""
    if boxes is None:
        return "not run yet"
    text = " ".join(f"{box.left},{box.top},{box.right},{box.bottom}" for box in boxes[:3])
    return f"{text} ..." if len(boxes) > 3 else text


def register(app: typer.Typer) -> None:
    """Add ``review`` to the app."""
    app.command()(review)
