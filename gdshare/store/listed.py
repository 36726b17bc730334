"""Importing films that a table lists: PNG, TIFF or DICOM, with what the table knows of them.

The table's patient takes the place of the header's. A film is recognised by its content, wherever
its file is now; the identities keep the path it came from, since a file's name may name somebody. A
diagnosis and an outline of the table become the film's drawing, pixel for pixel, unless something
was drawn on it before.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from gdshare.errors import FilmError
from gdshare.escaping import escaped
from gdshare.films import read_film
from gdshare.films.listed import ListedFilm
from gdshare.films.outlines import AnnotationFile, read_annotations
from gdshare.films.outlines.trace import trace
from gdshare.films.signature import is_dicom
from gdshare.plain_files import open_plain, require_plain
from gdshare.store.identities import Subject
from gdshare.store.intake import MAX_IDENTIFIER, Intake, Prepared, known_film, new_film, written
from gdshare.store.outcome import Outcome
from gdshare.store.outline import MAX_POINTS, Drawing, Outline, Rings, load_outline

_PNG = b"\x89PNG"


def import_listed(
    films: Sequence[ListedFilm],
    intake: Intake,
    now: datetime,
    organ: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Outcome]:
    """Copy the films of a table into the store; a refused film does not stop the import.

    Args:
        films: the table's lines.
        intake: the settings.
        now: UTC, of the outlines.
        organ: its name, if annotation files have several.
        progress: called with (films done, total).

    Yields:
        the outcome of each film, in order.
    """

    annotations = lru_cache(maxsize=1)(read_annotations)  # one file may hold all outlines

    def prepared() -> Iterator[Prepared]:
        started: set[str] = set()
        for film in films:
            try:
                ready = _prepare(film, intake, started, _Outlines(annotations, organ, now))
            except FilmError as error:
                reason = str(error.at(film.line))
                ready = Prepared(Outcome(film.image, "refused", reasons=(reason,)))
            if ready.record is not None:
                started.add(ready.record.film)
            yield ready

    return written(prepared(), len(films), intake.store, progress)


@dataclass(frozen=True)
class _Outlines:
    """How outlines are read, and when."""

    read: Callable[[Path], AnnotationFile]
    organ: str | None
    now: datetime


def _prepare(
    listed: ListedFilm, intake: Intake, started: set[str], outlines: _Outlines
) -> Prepared:
    path, store = listed.image, intake.store
    subject = _subject(listed)
    known = known_film(subject, intake, started, path)
    if known is not None:
        ready = Prepared(Outcome(path, "known", known))
        if known in started or load_outline(store, known).version:
            return ready
        record = store.record(known)
        drawing = _drawing(listed, (record.rows, record.columns), outlines)
    else:
        film = read_film(path, listed.spacing_mm)
        drawing = _drawing(listed, film.shape, outlines)
        ready = new_film(film, path, subject, _kind(path), None, intake)
    if drawing == Drawing():
        return ready
    name = ready.outcome.film or ""
    outline = Outline(film=name, drawing=drawing, version=1, saved_at=outlines.now)
    return replace(ready, outline=outline)


def _drawing(listed: ListedFilm, shape: tuple[int, int], outlines: _Outlines) -> Drawing:
    """The table's outline and diagnosis, as if drawn on the page."""
    polygons: list[Rings] = []
    if listed.mask is not None:
        with _opening(listed.mask):
            require_plain(listed.mask)
        file = outlines.read(listed.mask)
        mask = file.outline(shape, str(listed.image), outlines.organ).inside
        for part in trace(mask):
            polygons.append(tuple(tuple((x, y) for x, y in ring.tolist()) for ring in part.rings))
    points = sum(len(ring) for rings in polygons for ring in rings)
    if points > MAX_POINTS:
        raise FilmError(
            f"its outline has {points:,} corners, more than {MAX_POINTS:,}",
            listed.mask,
            "smooth it, or leave the mask out and outline the film on the page",
        )
    diagnosis = {True: "positive", False: "negative", None: None}[listed.positive]
    return Drawing.model_validate({"polygons": polygons, "diagnosis": diagnosis})


def _subject(listed: ListedFilm) -> Subject:
    patient, path = listed.patient, listed.image
    if len(patient) > MAX_IDENTIFIER or not patient.isprintable() or "\ufffd" in patient:
        raise FilmError("its patient cannot be read", path, "write the table as UTF-8")
    with _opening(path), open_plain(path) as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Subject(patient, "", escaped(path.resolve()), f"sha256:{digest}", 1)


@contextmanager
def _opening(path: Path) -> Iterator[None]:
    """Name the file in errors about opening it."""
    try:
        yield
    except OSError as error:
        raise FilmError(f"cannot be opened ({error.strerror})", path, "check the path") from error


def _kind(path: Path) -> str:
    if is_dicom(path):
        return "DICOM"
    with open_plain(path) as stream:
        return "PNG" if stream.read(len(_PNG)) == _PNG else "TIFF"
