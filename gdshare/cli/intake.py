"""``gdshare import``: copy films out of DICOM files or a PACS, without their identifiers."""

import base64
import logging
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
from gdshare.cli.terminal import AsJson, print_json, print_line, print_table, progress
from gdshare.errors import UsageError
from gdshare.extras import require_extra

if TYPE_CHECKING:
    from gdshare.store import Intake, Outcome
    from gdshare.store.pacs import Access, Query

    Import = Callable[[Intake], Iterator[Outcome]]

log = logging.getLogger(__name__)

MAX_REFUSALS = 20
"""Refused files that are printed one by one."""
MODALITIES = ("CR", "DX")
DATE_FORMATS, DATE_METAVAR = ["%Y-%m-%d"], "YYYY-MM-DD"


def import_films(
    out: Annotated[Path, typer.Option(help="The store; created, or added to.")],
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Folder of DICOM files, searched recursively."),
    ] = None,
    dicomweb: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Import from this DICOMweb service of a PACS instead."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=DATE_FORMATS,
            metavar=DATE_METAVAR,
            help="PACS: studies of this date or later.",
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            formats=DATE_FORMATS,
            metavar=DATE_METAVAR,
            help="PACS: studies of this date or earlier.",
        ),
    ] = None,
    modality: Annotated[
        list[str] | None,
        typer.Option(
            help="PACS: series of this modality, such as RF for fluoroscopy. Repeatable. "
            f"Default: {' and '.join(MODALITIES)}."
        ),
    ] = None,
    dicomweb_user: Annotated[str | None, typer.Option(help="User name at the PACS.")] = None,
    dicomweb_password_file: Annotated[
        Path | None, typer.Option(help="File with that user's password, mode 600.")
    ] = None,
    dicomweb_ca: Annotated[
        Path | None,
        typer.Option(
            help="File of CA certificates (PEM) to trust for the PACS. Default: the public CAs."
        ),
    ] = None,
    identities: Annotated[
        Path | None,
        typer.Option(
            help="The file that links the store to patients, mode 600. Default: "
            "STORE-identities.csv beside the store."
        ),
    ] = None,
    frame: Annotated[
        int | None, typer.Option(min=1, help="Which frame to import from multi-frame files.")
    ] = None,
    crop_border: Annotated[
        int, typer.Option(min=0, help="Black out so many px along every edge of every film.")
    ] = 0,
    mask_boxes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="L,T,R,B",
            help="Black out this box on every film, px from the upper left corner, where a device "
            "always writes. Repeatable. Like --crop-border, for newly imported films only; for "
            "those in the store use gdshare review.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy films from a folder of DICOM files or a PACS into a store, under random names.

    Only pixel size and kind are kept from the header; nothing that names a person, a place or a
    date. One file beside the store links the random names to patients, and only this command reads
    it. Unless its header says that no text is burned into the image, a film is held until somebody
    has looked at it: gdshare review. If interrupted, run it again: it continues, and requests from
    a PACS only what is missing.
    """
    require_extra("pacs" if dicomweb else "dicom")
    from gdshare.films.dicom.decoder import decoder
    from gdshare.store import Intake, make_store, open_identities

    boxes = tuple(parse_box(text, "--mask-boxes") for text in mask_boxes or ())
    pacs_options = (since, until, modality, dicomweb_user, dicomweb_password_file, dicomweb_ca)
    if dicomweb is None:
        run = _from_folder(folder, any(pacs_options))
    elif folder is not None:
        raise UsageError("a folder and --dicomweb exclude each other", folder, "give one of them")
    else:
        access = _access(dicomweb, dicomweb_user, dicomweb_password_file, dicomweb_ca)
        run = _from_pacs(access, _query(modality, since, until), _beside(out, "arriving.dcm"))
    identities_path = identities or _beside(out, "identities.csv")
    if identities_path.resolve().is_relative_to(out.resolve()):
        raise UsageError(
            "is inside the store", identities_path, "keep it elsewhere with --identities"
        )
    store = make_store(out)
    with open_identities(identities_path, _random_name) as names, decoder() as decode:
        names.require_films(store.names())
        with store.lock():
            store.sweep()
        outcomes = list(run(Intake(store, names, decode, frame, crop_border, boxes)))
    _print(outcomes, out, identities_path, as_json)


def _from_folder(folder: Path | None, pacs_options: bool) -> "Import":
    from gdshare.store import import_films
    from gdshare.store.intake import files_in

    if folder is None:
        raise UsageError(
            "nothing to import", remedy="give a folder of DICOM files, or --dicomweb URL"
        )
    if pacs_options:
        raise UsageError(
            "a folder is imported whole", folder, "give PACS options only with --dicomweb"
        )
    if not folder.is_dir():
        raise UsageError("no such folder", folder, "give the folder of the DICOM files")
    files = files_in(folder)

    def run(intake: "Intake") -> "Iterator[Outcome]":
        with progress("importing films") as report:
            yield from import_films(files, intake, report)

    return run


def _from_pacs(access: "Access", query: "Query", download: Path) -> "Import":
    from gdshare.store.pacs import connect, find_films, import_from_pacs

    def run(intake: "Intake") -> "Iterator[Outcome]":
        with connect(access, time.monotonic, time.sleep) as connection:
            with progress("querying the PACS") as report:
                films = find_films(connection, query, report)
            with progress("importing films") as report:
                yield from import_from_pacs(connection, films, intake, download, report)

    return run


def _access(url: str, user: str | None, password: Path | None, authority: Path | None) -> "Access":
    from gdshare.store.pacs import Login, access_to, read_password

    if (user is None) != (password is None):
        raise UsageError(
            "--dicomweb-user and --dicomweb-password-file belong together", remedy="give both"
        )
    login = Login(user, read_password(password)) if user and password else None
    return access_to(url, login, authority)


def _query(modality: list[str] | None, since: datetime | None, until: datetime | None) -> "Query":
    from gdshare.store.pacs import Query

    if since and until and since > until:
        raise UsageError(
            f"--since {since:%Y-%m-%d} is after --until {until:%Y-%m-%d}", remedy="swap them"
        )
    dates = (day and day.date() for day in (since, until))
    return Query(tuple(modality or MODALITIES), *dates)


def _print(outcomes: "list[Outcome]", out: Path, identities: Path, as_json: bool) -> None:
    counts: Counter[str] = Counter(outcome.kind for outcome in outcomes)
    refused = [outcome for outcome in outcomes if outcome.kind == "refused"]
    if as_json:
        return print_json(
            {
                "store": str(out),
                "counts": dict(counts),
                "refused": [
                    {"file": str(outcome.path), "reason": outcome.reason} for outcome in refused
                ],
            }
        )
    for outcome in refused[:MAX_REFUSALS]:
        log.warning("refused  %s", outcome.reason)
    if len(refused) > MAX_REFUSALS:
        log.warning("refused  %d more; --json lists all", len(refused) - MAX_REFUSALS)
    kinds = ("released", "held", "known", "refused", "not DICOM")
    print_table(f"{out}: files by outcome", kinds, [[counts[kind] for kind in kinds]])
    print_line(f"identities  {identities} (keep it apart from the store)")
    if counts["held"]:
        print_line(f"next        gdshare review {quote(str(out))}")
    return None


def _beside(out: Path, name: str) -> Path:
    path = out.resolve()
    return path.with_name(f"{path.name}-{name}")


def _random_name() -> str:
    """80 random bits: unguessable, and never drawn twice."""
    return base64.b32encode(secrets.token_bytes(10)).decode().lower()


def register(app: typer.Typer) -> None:
    """Add ``import`` to the app."""
    app.command("import")(import_films)
