"""Copying films out of a PACS into the store.

Each film lies in one file beside the store while it is taken in, for its owner alone, and that file
is deleted before the next is asked for. What a kill leaves there the next import deletes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from warnings import catch_warnings, simplefilter

from gdshare.errors import FilmError
from gdshare.films.dicom.header import read_dataset, tags
from gdshare.store.intake import Intake, Outcome, take_in
from gdshare.store.pacs.faults import AnswerError, PacsError, PassingError
from gdshare.store.pacs.line import Line
from gdshare.store.pacs.query import Reference
from gdshare.store.pacs.retrieval import NO_FILE, retrieve

OTHER_FILM = "sends another film than it was asked for; ask whoever runs it"

IN_A_ROW = 3
"""Films that a network may fail to bring before the PACS counts as gone."""


def take_in_from(
    line: Line,
    films: Sequence[Reference],
    intake: Intake,
    landing: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Outcome]:
    """Retrieve films and copy them into the store; what is in already is not asked for again.

    Args:
        line: to the PACS.
        films: which.
        intake: how and where to.
        landing: a file to keep one film in meanwhile, on the store's disk.
        progress: called with (films done, films in all).

    Yields:
        what became of each film, in their order; its path is the film's UID.

    Raises:
        PacsError: the PACS is gone, or lets this user in no longer.
    """
    landing.unlink(missing_ok=True)
    lost = 0
    for number, film in enumerate(films, start=1):
        try:
            outcome = _known(film, intake) or _retrieved(line, film, intake, landing)
            lost = 0
        except AnswerError as error:
            outcome = _refused(film, str(error))
            lost = 0
        except PassingError as error:
            lost += 1
            if lost == IN_A_ROW:
                raise PacsError(
                    "brings no films any more",
                    line.url,
                    "see that it runs, then call this again: what is in already stays",
                ) from error
            outcome = _refused(film, str(error))
        yield outcome
        progress(number, len(films))


def _known(film: Reference, intake: Intake) -> Outcome | None:
    identity = intake.identities.known(film.instance, intake.frame or 1)
    if identity is None or not intake.store.record_path(identity.film).exists():
        return None
    return Outcome(Path(film.instance), "known", identity.film)


def _retrieved(line: Line, film: Reference, intake: Intake, landing: Path) -> Outcome:
    try:
        retrieve(line, film, landing)
        if not _asked_for(film, landing):
            return _refused(film, f"{line.url}: {OTHER_FILM}")
        (outcome,) = take_in([landing], intake)
    finally:
        landing.unlink(missing_ok=True)
    if outcome.kind == "not DICOM":
        return _refused(film, f"{line.url}: {NO_FILE}")
    told = outcome.reason.replace(str(landing), film.instance)
    return replace(outcome, path=Path(film.instance), reason=told)


def _asked_for(film: Reference, landing: Path) -> bool:
    """Whether it is the film that was asked for; what cannot be read is told by ``take_in``."""
    with catch_warnings():
        simplefilter("ignore")  # pydicom tells of every element that breaks a rule of form
        try:
            told = read_dataset(landing, tags(("SOPInstanceUID",)))
        except FilmError:
            return True
    return str(told.get("SOPInstanceUID")) == film.instance


def _refused(film: Reference, reason: str) -> Outcome:
    return Outcome(Path(film.instance), "refused", reason=f"{film.instance}: {reason}")
