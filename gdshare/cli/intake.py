"""``gdshare import``: copy films out of DICOM files or a PACS, without their identifiers."""

import base64
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from gdshare.cli.boxes import parse_box
from gdshare.cli.terminal import AsJson, print_json, print_table, progress
from gdshare.errors import UsageError
from gdshare.extras import require_extra

if TYPE_CHECKING:
    from gdshare.store import Intake, Outcome
    from gdshare.store.pacs import Access, Wanted

    Films = Callable[[Intake], Iterator[Outcome]]

SHOWN = 20
MODALITIES = ("CR", "DX")
DAY, SHOWN_DAY = ["%Y-%m-%d"], "YYYY-MM-DD"


def take_in(
    out: Annotated[Path, typer.Option(help="The store: made, or added to.")],
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Folder of DICOM files, searched whole.")
    ] = None,
    dicomweb: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Instead of a folder: the address of a PACS's DICOMweb service."
        ),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=DAY, metavar=SHOWN_DAY, help="Of a PACS: studies of this day or later."
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(formats=DAY, metavar=SHOWN_DAY, help="Of a PACS: studies up to this day."),
    ] = None,
    modality: Annotated[
        list[str] | None,
        typer.Option(
            help="Of a PACS: series of this modality, RF for fluoroscopy. May be given several "
            f"times. Without it: {' and '.join(MODALITIES)}."
        ),
    ] = None,
    dicomweb_user: Annotated[str | None, typer.Option(help="Who asks the PACS.")] = None,
    dicomweb_password_file: Annotated[
        Path | None, typer.Option(help="File that holds the user's password, mode 600.")
    ] = None,
    dicomweb_ca: Annotated[
        Path | None,
        typer.Option(
            help="File of the authority's certificates (PEM) that vouch for the PACS. Without it: "
            "those that browsers trust."
        ),
    ] = None,
    identities: Annotated[
        Path | None,
        typer.Option(
            help="The file that leads back to patients, mode 600. Without it: beside the store, "
            "STORE-identities.csv."
        ),
    ] = None,
    frame: Annotated[
        int | None, typer.Option(min=1, help="Which frame is the film, of files that hold many.")
    ] = None,
    crop_border: Annotated[
        int, typer.Option(min=0, help="Make so many px black along every edge of every film.")
    ] = 0,
    mask_boxes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="L,T,R,B",
            help="Make this box black on every film, px from its upper left corner: where a "
            "device always writes. May be given several times. Like --crop-border it is for films "
            "that come in now; for those in the store already there is gdshare review.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy films out of a folder of DICOM files, or a PACS, into a store, under random names.

    Of the header come pixel size and kind, and nothing that names a person, a place or a day. Who
    is who stands in one file beside the store; nothing but this command reads it. A film whose
    header does not say that nothing is written in the picture is held until somebody has looked:
    gdshare review. Stopped, it goes on where it was when called again, and asks a PACS only for
    what is not in yet.
    """
    require_extra("pacs" if dicomweb else "dicom")
    from gdshare.films.dicom.decoder import decoder
    from gdshare.store import Intake, make_store, open_identities

    boxes = tuple(parse_box(text, "--mask-boxes") for text in mask_boxes or ())
    of_a_pacs = (since, until, modality, dicomweb_user, dicomweb_password_file, dicomweb_ca)
    if dicomweb is None:
        films = _of_folder(folder, any(of_a_pacs))
    elif folder is not None:
        raise UsageError("give either a folder or --dicomweb, not both", folder)
    else:
        access = _access(dicomweb, dicomweb_user, dicomweb_password_file, dicomweb_ca)
        films = _of_pacs(access, _wanted(modality, since, until), _beside(out, "arriving.dcm"))
    who = identities or _beside(out, "identities.csv")
    if who.resolve().is_relative_to(out.resolve()):
        raise UsageError("lies in the store", who, "keep who is who apart, by --identities")
    store = make_store(out)
    with open_identities(who, _random) as named, decoder() as decode:
        named.require(store.names())
        with store.changing():
            store.sweep()
        outcomes = list(films(Intake(store, named, decode, frame, crop_border, boxes)))
    _print(outcomes, out, who, as_json)


def _of_folder(folder: Path | None, of_a_pacs: bool) -> "Films":
    from gdshare.store import take_in
    from gdshare.store.intake import files_in

    if folder is None:
        raise UsageError("say what to import: a folder of DICOM files, or --dicomweb URL")
    if of_a_pacs:
        raise UsageError(
            "a folder is searched whole",
            folder,
            "give these options of a PACS together with --dicomweb",
        )
    if not folder.is_dir():
        raise UsageError("no such folder", folder, "give the folder that holds the DICOM files")
    files = files_in(folder)

    def films(intake: "Intake") -> "Iterator[Outcome]":
        with progress("importing films") as report:
            yield from take_in(files, intake, report)

    return films


def _of_pacs(access: "Access", wanted: "Wanted", landing: Path) -> "Films":
    from gdshare.store.pacs import find_films, line_to, take_in_from

    def films(intake: "Intake") -> "Iterator[Outcome]":
        with line_to(access, time.monotonic, time.sleep) as line:
            with progress("asking the PACS") as report:
                found = find_films(line, wanted, report)
            with progress("importing films") as report:
                yield from take_in_from(line, found, intake, landing, report)

    return films


def _access(url: str, user: str | None, password: Path | None, authority: Path | None) -> "Access":
    from gdshare.store.pacs import Login, access_to, read_password

    if (user is None) != (password is None):
        raise UsageError(
            "--dicomweb-user and --dicomweb-password-file belong together", remedy="give both"
        )
    login = Login(user, read_password(password)) if user and password else None
    return access_to(url, login, authority)


def _wanted(modality: list[str] | None, since: datetime | None, until: datetime | None) -> "Wanted":
    from gdshare.store.pacs import Wanted

    if since and until and since > until:
        raise UsageError(
            f"--since {since:%Y-%m-%d} is after --until {until:%Y-%m-%d}", remedy="swap them"
        )
    days = (day and day.date() for day in (since, until))
    return Wanted(tuple(modality or MODALITIES), *days)


def _print(outcomes: "list[Outcome]", out: Path, who: Path, as_json: bool) -> None:
    counts: Counter[str] = Counter(outcome.kind for outcome in outcomes)
    refused = [outcome for outcome in outcomes if outcome.kind == "refused"]
    if as_json:
        return print_json(
            {
                "store": str(out),
                "counts": dict(counts),
                "refused": [{"file": str(one.path), "reason": one.reason} for one in refused],
            }
        )
    for one in refused[:SHOWN]:
        typer.echo(f"refused  {one.reason}", err=True)
    if len(refused) > SHOWN:
        typer.echo(f"refused  {len(refused) - SHOWN} more; --json lists all", err=True)
    kinds = ("released", "held", "known", "refused", "not DICOM")
    print_table(f"{out}: files by what became of them", kinds, [[counts[kind] for kind in kinds]])
    typer.echo(f"who is who  {who} (keep it apart from the store)")
    if counts["held"]:
        typer.echo(f"go on with  gdshare review {quote(str(out))}")
    return None


def _beside(out: Path, name: str) -> Path:
    whole = out.resolve()
    return whole.with_name(f"{whole.name}-{name}")


def _random() -> str:
    """80 bits, which nobody meets twice or guesses."""
    return base64.b32encode(secrets.token_bytes(10)).decode().lower()


def register(app: typer.Typer) -> None:
    """Add ``import`` to the app."""
    app.command("import")(take_in)
