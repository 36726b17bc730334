"""Importing films from a PACS into the store.

Each film is downloaded to a single file beside the store, mode 600, and deleted before the next is
requested. If a kill leaves that file behind, the next import deletes it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from warnings import catch_warnings, simplefilter

from gdshare.errors import FilmError
from gdshare.films.dicom.header import read_dataset, tags
from gdshare.store.intake import Intake, import_films
from gdshare.store.outcome import Outcome
from gdshare.store.pacs.connection import Connection
from gdshare.store.pacs.errors import (
    ASK_ADMINISTRATOR,
    DeadlineError,
    PacsError,
    ResponseError,
    TransientError,
)
from gdshare.store.pacs.query import Reference
from gdshare.store.pacs.retrieval import NOT_DICOM, retrieve

MAX_FAILURES = 3
"""Consecutive films that fail to arrive before the PACS counts as gone."""


def import_from_pacs(
    connection: Connection,
    films: Sequence[Reference],
    intake: Intake,
    download: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Outcome]:
    """Retrieve films and import them; those in the store already are not requested again.

    Args:
        connection: to the PACS.
        films: to import.
        intake: the settings.
        download: temporary file for a single film, on the store's disk.
        progress: called with (films done, total).

    Yields:
        the outcome of each film, in order; its path is the film's UID.

    Raises:
        PacsError: the PACS is gone, or no longer accepts the login.
    """
    download.unlink(missing_ok=True)
    failures = 0
    for number, film in enumerate(films, start=1):
        try:
            outcome = _previous(film, intake) or _retrieve(connection, film, intake, download)
            failures = 0
        except (ResponseError, TransientError) as error:
            gone = isinstance(error, TransientError | DeadlineError)
            failures = failures + 1 if gone else 0
            if failures == MAX_FAILURES:
                raise PacsError(
                    "no longer delivers films",
                    connection.url,
                    "check that it is running and import again; imported films are kept",
                ) from error
            outcome = _refused(film, error)
        yield outcome
        progress(number, len(films))


def _previous(film: Reference, intake: Intake) -> Outcome | None:
    identity = intake.identities.find(film.instance, intake.frame or 1)
    if identity is None or not intake.store.record_path(identity.film).exists():
        return None
    return Outcome(Path(film.instance), "known", identity.film)


def _retrieve(connection: Connection, film: Reference, intake: Intake, download: Path) -> Outcome:
    try:
        retrieve(connection, film, download)
        if not _is_requested(film, download):
            error = ResponseError("sends another film than requested", remedy=ASK_ADMINISTRATOR)
            return _refused(film, error.at(connection.url))
        (outcome,) = import_films([download], intake)
    finally:
        download.unlink(missing_ok=True)
    if outcome.kind == "not DICOM":
        error = ResponseError(NOT_DICOM, remedy=ASK_ADMINISTRATOR)
        return _refused(film, error.at(connection.url))
    reasons = tuple(reason.replace(str(download), film.instance) for reason in outcome.reasons)
    return replace(outcome, path=Path(film.instance), reasons=reasons)


def _is_requested(film: Reference, download: Path) -> bool:
    """Compare the UID; a file that cannot be read is left to ``import_films``."""
    with catch_warnings():
        simplefilter("ignore")  # pydicom warns of every malformed element
        try:
            dataset = read_dataset(download, tags(("SOPInstanceUID",)))
        except FilmError:
            return True
    return str(dataset.get("SOPInstanceUID")) == film.instance


def _refused(film: Reference, error: PacsError) -> Outcome:
    return Outcome(Path(film.instance), "refused", reasons=(f"{film.instance}: {error}",))
