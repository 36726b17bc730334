"""``gdshare review``: look at films that may show a name, and decide."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gdshare.cli.boxes import parse_box
from gdshare.cli.operator import operator_name
from gdshare.cli.terminal import AsJson, print_json, print_table, progress
from gdshare.errors import UsageError
from gdshare.extras import require_extra
from gdshare.films.box import Box


def review(
    store: Annotated[Path, typer.Argument(help="The store that gdshare import made.")],
    films: Annotated[
        list[str] | None,
        typer.Argument(help="Films to decide about. Without any: list those held."),
    ] = None,
    release: Annotated[
        bool, typer.Option("--release", help="Nothing in them names anybody.")
    ] = False,
    reject: Annotated[
        bool, typer.Option("--reject", help="Delete their pixels; they cannot be used.")
    ] = False,
    by: Annotated[
        str | None, typer.Option(help="Who has looked. Without it: this computer's user name.")
    ] = None,
    crop_border: Annotated[
        int, typer.Option(min=0, help="First make so many px black along every edge.")
    ] = 0,
    mask_boxes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="L,T,R,B", help="First make this box black; may be given several times."
        ),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Let the detector look at films whose header says NO, too. Those in which it sees "
            "something, and that nobody has reviewed, are held from then on.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the films held for a review, or release or reject some, for the record.

    Look at the pictures first. The list names the films, and where a detector, which has looked
    before you, sees something like writing. It misses some, so its silence clears no film.
    """
    require_extra("dicom")
    from gdshare.store import Decision, look, open_store, review_film
    from gdshare.store.record import MAX_REVIEWER

    opened = open_store(store)
    if not films:
        if release or reject:
            raise UsageError("--release and --reject: name the films that they are about")
        from gdshare.films.burned_in import find_text

        before = {film.film for film in opened.films() if film.state == "held"}
        with progress("looking for writing") as report:
            look(opened, find_text, everything, report)
        held = [film for film in opened.films() if film.state == "held"]
        if as_json:
            return print_json([film.model_dump(mode="json") for film in held])
        if fresh := sum(film.film not in before for film in held):
            typer.echo(f"films that were released and are held now: {fresh}", err=True)
        rows = [(film.film, "; ".join(film.reasons), _places(film.text)) for film in held]
        print_table(f"{store}: {len(held)} films held", ("film", "why", "writing at"), rows)
        typer.echo(f"pictures  {opened.folder}/FILM.tif")
        return None
    if by is not None and not 0 < len(by) <= MAX_REVIEWER:
        raise UsageError(f"--by: give a name of 1 to {MAX_REVIEWER} letters")
    if release == reject:
        raise UsageError("say either --release or --reject")
    if reject and (crop_border or mask_boxes):
        raise UsageError("--crop-border and --mask-boxes go with --release only")
    boxes = [parse_box(text, "--mask-boxes") for text in mask_boxes or ()]
    who, now = operator_name(by), datetime.now(UTC)
    decision: Decision = "release" if release else "reject"
    done = []
    for name in films:
        done.append(review_film(opened, name, decision, who, now, boxes, crop_border))
        if not as_json:  # at once: a box that does not fit the next film ends it there
            typer.echo(f"{name}  {done[-1].state}")
    if as_json:
        print_json([film.model_dump(mode="json") for film in done])
    return None


def _places(boxes: tuple[Box, ...] | None) -> str:
    """At most three, so that a line stays a line."""
    if boxes is None:
        return "not looked yet"
    shown = " ".join(f"{box.left},{box.top},{box.right},{box.bottom}" for box in boxes[:3])
    return f"{shown} ..." if len(boxes) > 3 else shown


def register(app: typer.Typer) -> None:
    """Add ``review`` to the app."""
    app.command()(review)
