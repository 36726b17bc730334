"""Which films a PACS holds: studies by day, their series by modality, all films of those.

QIDO-RS, PS3.18 10.6. Servers differ in what they filter by and how many results they give at once,
so days and modalities are looked at again here, and a query is over when a page brings nothing new.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

from gdshare.store.pacs.faults import AnswerError
from gdshare.store.pacs.line import Line

STUDY, SERIES, INSTANCE = "0020000D", "0020000E", "00080018"
STUDY_DATE, MODALITY = "00080020", "00080060"
A_PAGE = 500
MOST = 1_000_000
"""Results of one query; more is no question that somebody meant to ask."""

Result = dict[str, dict[Any, Any]]
"""DICOM JSON: tag -> {"vr": ..., "Value": [...]}, PS3.18 F.2."""


@dataclass(frozen=True)
class Wanted:
    """Which films are asked for.

    Attributes:
        modalities: as series name them, such as CR.
        since, until: days of the study, both included; None: no bound.
    """

    modalities: tuple[str, ...]
    since: date | None = None
    until: date | None = None

    def range(self) -> str:
        """The days, as PS3.4 C.2.2.2.5 writes a range; empty without bounds."""
        days = [f"{day:%Y%m%d}" if day else "" for day in (self.since, self.until)]
        return "-".join(days) if any(days) else ""

    def includes(self, day: str) -> bool:
        """Whether a study of that day (YYYYMMDD) is asked for; without a day, only if all are."""
        first, last = (f"{one:%Y%m%d}" if one else None for one in (self.since, self.until))
        if first is None and last is None:
            return True
        return bool(day) and (first or day) <= day <= (last or day)


@dataclass(frozen=True)
class Reference:
    """Where a film is in a PACS, by UIDs."""

    study: str
    series: str
    instance: str


def find_films(
    line: Line, wanted: Wanted, progress: Callable[[int, int], None] = lambda done, total: None
) -> list[Reference]:
    """Ask a PACS for all films of some days and modalities.

    Args:
        line: to the PACS.
        wanted: which.
        progress: called with (studies asked about, studies in all).

    Raises:
        PacsError: it cannot be asked, or an answer is not understood.
    """
    studies = _studies(line, wanted)
    found: list[Reference] = []
    for number, study in enumerate(studies, start=1):
        found += _films(line, study, wanted)
        progress(number, len(studies))
    return found


def _studies(line: Line, wanted: Wanted) -> list[str]:
    found: dict[str, Result] = {}
    for modality in wanted.modalities:
        filters = {"ModalitiesInStudy": modality}
        if wanted.range():
            filters["StudyDate"] = wanted.range()
        found |= _all(line, partial(line.client.search_for_studies, search_filters=filters), STUDY)
    return [uid for uid, study in found.items() if wanted.includes(_text(study, STUDY_DATE))]


def _films(line: Line, study: str, wanted: Wanted) -> list[Reference]:
    series = _all(line, partial(line.client.search_for_series, study), SERIES)
    found = []
    for uid in (uid for uid, one in series.items() if _text(one, MODALITY) in wanted.modalities):
        films = _all(line, partial(line.client.search_for_instances, study, uid), INSTANCE)
        found += [Reference(study, uid, film) for film in films]
    return found


def _all(line: Line, ask: Callable[..., list[Result]], tag: str) -> dict[str, Result]:
    """All results of a query, by the UID that ``tag`` holds.

    Args:
        line: to ask on.
        ask: for ``limit`` results from the one numbered ``offset`` on.
        tag: of the UID.
    """
    found: dict[str, Result] = {}
    while len(found) <= MOST:
        results = line.asked(partial(ask, limit=A_PAGE, offset=len(found)))
        if not isinstance(results, list):
            raise AnswerError("answers a query with no list", line.url, "check the address")
        new = {_text(result, tag): result for result in results}
        if "" in new:
            raise AnswerError("finds something that has no UID", line.url, "ask whoever runs it")
        if not new.keys() - found.keys():
            return found
        found |= new
    raise AnswerError(f"finds more than {MOST}", line.url, "ask for fewer days")


def _text(result: object, tag: str) -> str:
    """The first value of an element; empty where there is none, or no text."""
    match result:
        case dict():
            match result.get(tag):
                case {"Value": [str(value), *_]}:
                    return value.strip()
    return ""
