"""Finding films in a PACS: studies by date, their series by modality, all films of those series.

QIDO-RS, PS3.18 10.6. Servers differ in which filters they apply and how many results they return
per page, so dates and modalities are checked again here, and a query ends at the first page without
new results.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

from gdshare.store.pacs.connection import Connection
from gdshare.store.pacs.errors import ASK_ADMINISTRATOR, ResponseError

STUDY, SERIES, INSTANCE = "0020000D", "0020000E", "00080018"
STUDY_DATE, MODALITY = "00080020", "00080060"
PAGE_SIZE = 500
MAX_RESULTS = 1_000_000
"""Per query; nobody means to import more."""

Result = dict[str, dict[Any, Any]]
"""DICOM JSON: tag -> {"vr": ..., "Value": [...]}, PS3.18 F.2."""


@dataclass(frozen=True)
class Query:
    """Which films to find.

    Attributes:
        modalities: of the series, such as CR.
        since, until: study dates, inclusive; None: unbounded.
    """

    modalities: tuple[str, ...]
    since: date | None = None
    until: date | None = None

    def date_range(self) -> str:
        """Range matching as in PS3.4 C.2.2.2.5; empty without bounds."""
        days = [f"{day:%Y%m%d}" if day else "" for day in (self.since, self.until)]
        return "-".join(days) if any(days) else ""

    def includes(self, day: str) -> bool:
        """Whether a study date (YYYYMMDD) matches; an empty date only matches without bounds."""
        first, last = (f"{bound:%Y%m%d}" if bound else None for bound in (self.since, self.until))
        if first is None and last is None:
            return True
        return bool(day) and (first or day) <= day <= (last or day)


@dataclass(frozen=True)
class Reference:
    """The UIDs of a film in a PACS."""

    study: str
    series: str
    instance: str


def find_films(
    connection: Connection,
    query: Query,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Reference]:
    """Find all films that match a query.

    Args:
        connection: to the PACS.
        query: dates and modalities.
        progress: called with (studies done, total).

    Raises:
        PacsError: the PACS cannot be reached, or a response is invalid.
    """
    studies = _studies(connection, query)
    films: list[Reference] = []
    for number, study in enumerate(studies, start=1):
        films += _films(connection, study, query)
        progress(number, len(studies))
    return films


def _studies(connection: Connection, query: Query) -> list[str]:
    studies: dict[str, Result] = {}
    for modality in query.modalities:
        filters = {"ModalitiesInStudy": modality}
        if query.date_range():
            filters["StudyDate"] = query.date_range()
        search = partial(connection.client.search_for_studies, search_filters=filters)
        studies |= _all_results(connection, search, STUDY)
    return [uid for uid, study in studies.items() if query.includes(_text(study, STUDY_DATE))]


def _films(connection: Connection, study: str, query: Query) -> list[Reference]:
    client = connection.client
    films = []
    all_series = _all_results(connection, partial(client.search_for_series, study), SERIES)
    for uid, series in all_series.items():
        if _text(series, MODALITY) in query.modalities:
            search = partial(client.search_for_instances, study, uid)
            instances = _all_results(connection, search, INSTANCE)
            films += [Reference(study, uid, instance) for instance in instances]
    return films


def _all_results(
    connection: Connection, search: Callable[..., list[Result]], tag: str
) -> dict[str, Result]:
    """All pages of a search, keyed by UID.

    Args:
        connection: to the PACS.
        search: takes ``limit`` and ``offset``.
        tag: the element that holds the UID.
    """
    results: dict[str, Result] = {}
    while len(results) <= MAX_RESULTS:
        page = connection.retry(partial(search, limit=PAGE_SIZE, offset=len(results)))
        if not isinstance(page, list):
            raise ResponseError("answers without a list", connection.url, "check the address")
        new = {_text(result, tag): result for result in page}
        if "" in new:
            raise ResponseError("returns a result without a UID", connection.url, ASK_ADMINISTRATOR)
        if not new.keys() - results.keys():
            return results
        results |= new
    raise ResponseError(f"finds more than {MAX_RESULTS}", connection.url, "query fewer days")


def _text(result: object, tag: str) -> str:
    """The first value of an element; empty if absent or not text."""
    match result:
        case dict():
            match result.get(tag):
                case {"Value": [str(value), *_]}:
                    return value.strip()
    return ""
