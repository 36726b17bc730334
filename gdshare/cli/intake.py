"""``gdshare import``: copy films out of DICOM files or a PACS, without their identifiers."""

import base64
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gdshare.cli.boxes import parse_box
from gdshare.cli.terminal import (
    AsJson,
    print_json,
    print_line,
    print_next,
    print_table,
)
from gdshare.config import variable
from gdshare.errors import FilmError, UsageError
from gdshare.extras import require_extra
from gdshare.lock import lock_beside
from gdshare.next_steps import commands
from gdshare.progress import progress

if TYPE_CHECKING:
    from gdshare.films.box import Box
    from gdshare.store import Intake, Outcome
    from gdshare.store.pacs import Access, Query

    Import = Callable[[Intake], Iterator[Outcome]]

log = logging.getLogger(__name__)

MAX_REFUSALS = 20
"""Refused files that are printed one by one."""
MAX_NAMES = 3
"""Files or films that are named with a reason that they share."""
MODALITIES = ("CR", "DX")
DATE_FORMATS, DATE_METAVAR = ["%Y-%m-%d"], "YYYY-MM-DD"


def import_films(
    out: Annotated[
        Path, typer.Option(envvar=variable("store"), help="The store; created, or added to.")
    ],
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR|CSV]",
            help="Folder of DICOM files, searched recursively. Or a table of PNG, TIFF or DICOM "
            "files, one line per film: patient,image and optionally mask, diagnosis and spacing_mm "
            "(pixel size), as for gdshare label.",
        ),
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
    organ: Annotated[
        str | None,
        typer.Option(help="CSV: the organ's name, if annotation files contain several outlines."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy films from DICOM files, a table or a PACS into a store, under random names.

    Only pixel size and kind are kept from the header; nothing that names a person, a place or a
    date. One file beside the store links the random names to patients, and only this command reads
    it. Unless its header says that no text is burned into the image, a film is held until somebody
    has looked at it: gdshare review. If interrupted, run it again: it continues, and requests from
    a PACS only what is missing.
    """
    require_extra("pacs" if dicomweb else "dicom")
    boxes = tuple(parse_box(text, "--mask-boxes") for text in mask_boxes or ())
    identities_path = identities or _beside(out, "identities.csv")
    pacs_options = (since, until, modality, dicomweb_user, dicomweb_password_file, dicomweb_ca)
    if folder is not None and folder.is_file() and dicomweb is None and not any(pacs_options):
        run = _from_table(folder, organ)
    elif organ is not None:
        raise UsageError("is for a table of films", "--organ", "leave it out")
    elif dicomweb is None:
        run = _from_folder(
            folder, any(pacs_options), (out, identities_path, lock_beside(identities_path))
        )
    elif folder is not None:
        raise UsageError("a folder and --dicomweb exclude each other", folder, "give one of them")
    else:
        access = _access(dicomweb, dicomweb_user, dicomweb_password_file, dicomweb_ca)
        run = _from_pacs(access, _query(modality, since, until), _beside(out, "arriving.dcm"))
    outcomes = _run(run, out, identities_path, frame, crop_border, boxes)
    _print(outcomes, out, identities_path, as_json)
    if (outcomes or folder) and not any(outcome.film for outcome in outcomes):
        raise FilmError("no film was imported", folder or dicomweb, "see the reasons above")


def store_of_table(table: Path, organ: str | None) -> Path:
    """Import a table's films into the store beside it, ``TABLE-store``; those it has are kept.

    Raises:
        GdshareError: the table or the store cannot be read, or no film can be imported.
    """
    out = table.with_name(f"{table.stem}-store")
    import_films(out, table, organ=organ)
    return out


def _run(
    run: "Import",
    out: Path,
    identities: Path,
    frame: int | None,
    border: int,
    boxes: "tuple[Box, ...]",
) -> "list[Outcome]":
    from gdshare.films.dicom.decoder import decoder
    from gdshare.store import Intake, make_store, open_identities

    if identities.resolve().is_relative_to(out.resolve()):
        raise UsageError("is inside the store", identities, "keep it elsewhere with --identities")
    store = make_store(out)
    with open_identities(identities, _random_name) as names, decoder() as decode:
        names.require_films(store.names())
        with store.lock():
            store.sweep()
        return list(run(Intake(store, names, decode, frame, border, boxes)))


def _from_table(table: Path, organ: str | None) -> "Import":
    from gdshare.cohort import read_listing
    from gdshare.store import import_listed

    films = read_listing(table)

    def run(intake: "Intake") -> "Iterator[Outcome]":
        with progress("importing films") as report:
            yield from import_listed(films, intake, datetime.now(UTC), organ, report)

    return run


def _from_folder(folder: Path | None, pacs_options: bool, written: tuple[Path, ...]) -> "Import":
    from gdshare.store import import_films, list_folder

    if folder is None:
        raise UsageError(
            "nothing to import",
            remedy="give a folder of DICOM files, a table of films, or --dicomweb URL",
        )
    if pacs_options:
        raise UsageError(
            "a folder is imported whole", folder, "give PACS options only with --dicomweb"
        )
    if not folder.is_dir():
        raise UsageError("no such folder or table", folder, "give the folder of the DICOM files")
    listing = list_folder(folder, {path.resolve() for path in written})

    def run(intake: "Intake") -> "Iterator[Outcome]":
        with progress("importing films") as report:
            yield from import_films(listing.files, intake, report)
        yield from listing.left_out

    return run


def _from_pacs(access: "Access", query: "Query", download: Path) -> "Import":
    from gdshare.store.pacs import connect, find_films, import_from_pacs

    def run(intake: "Intake") -> "Iterator[Outcome]":
        with connect(access, time.sleep) as connection:
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
    if as_json:
        return print_json({"store": str(out), "counts": dict(counts)} | _details(outcomes))
    refused = [outcome for outcome in outcomes if outcome.kind == "refused"]
    for outcome in refused[:MAX_REFUSALS]:
        log.warning("refused  %s", outcome.reason)
    if len(refused) > MAX_REFUSALS:
        log.warning("refused  %d more; --json lists all", len(refused) - MAX_REFUSALS)
    for line in _by_reason(outcomes):
        log.warning(line)
    always, others = ("released", "held", "known", "refused", "not DICOM"), sorted(counts)
    kinds = (*always, *(kind for kind in others if kind not in always))
    print_table(f"{out}: files by outcome", kinds, [[counts[kind] for kind in kinds]])
    print_line(f"identities  {identities} (keep it apart from the store)")
    print_next(commands.review(out) if counts["held"] else commands.outline(out))
    return None


def _details(outcomes: "list[Outcome]") -> dict[str, list[dict[str, object]]]:
    """All files that are refused or left out, and all films that are held, with the reasons.

    A held film is named without its file: only the identities lead from one to the other.
    """
    from gdshare.store.outcome import LEFT_OUT

    return {
        "refused": [
            {"file": str(outcome.path), "reason": outcome.reason}
            for outcome in outcomes
            if outcome.kind == "refused"
        ],
        "left_out": [
            {"file": str(outcome.path), "kind": outcome.kind, "reason": outcome.reason}
            for outcome in outcomes
            if outcome.kind in LEFT_OUT
        ],
        "held": [
            {"film": outcome.film, "reasons": outcome.reasons}
            for outcome in outcomes
            if outcome.kind == "held"
        ],
    }


def _by_reason(outcomes: "list[Outcome]") -> Iterator[str]:
    """A line for each reason to leave files out or to hold films, with the first of them."""
    from gdshare.store.outcome import LEFT_OUT

    names: dict[tuple[str, str], list[str]] = {}
    for outcome in outcomes:
        for reason in outcome.reasons:
            if outcome.kind in LEFT_OUT:
                names.setdefault(("left out", reason), []).append(str(outcome.path))
            elif outcome.kind == "held":
                names.setdefault(("held", reason), []).append(str(outcome.film))
    for (what, reason), concerned in names.items():
        more = len(concerned) - MAX_NAMES
        rest = f" and {more} more; --json lists all" if more > 0 else ""
        yield f"{what}  {len(concerned)}  {reason}: {', '.join(concerned[:MAX_NAMES])}{rest}"


def _beside(out: Path, name: str) -> Path:
    path = out.resolve()
    return path.with_name(f"{path.name}-{name}")


def _random_name() -> str:
    """80 random bits: unguessable, and never drawn twice."""
    return base64.b32encode(secrets.token_bytes(10)).decode().lower()


def register(app: typer.Typer) -> None:
    """Add ``import`` to the app."""
    app.command("import")(import_films)
