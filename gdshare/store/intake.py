"""Importing films from DICOM files into the store.

For each file, in this order: read the few elements needed, decode, black out, name the film (and
record the name in the identities), write the pixels, write the record. A kill in between leaves an
unfinished film; the next import gives it the same name and finishes it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from warnings import catch_warnings, simplefilter

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.uid import UID

from gdshare.errors import FilmError, NotAFilmError
from gdshare.films.box import Box
from gdshare.films.dicom.elements import text_of
from gdshare.films.dicom.film import display
from gdshare.films.dicom.header import FILM_KINDS, FILM_TAGS, header_of, read_dataset, tags
from gdshare.films.dicom.stored import Decode
from gdshare.films.signature import HEAD_BYTES, begins_as_dicom
from gdshare.films.value import Film, range_used
from gdshare.plain_files import open_plain
from gdshare.store.blanking import blank
from gdshare.store.folder import Store
from gdshare.store.identities import Identities, Subject
from gdshare.store.listing import why_not_dicom
from gdshare.store.outcome import Outcome
from gdshare.store.outline import Outline, add_outline
from gdshare.store.record import StoredFilm

BURNED_IN = "BurnedInAnnotation"
IDENTIFIERS = ("PatientID", "IssuerOfPatientID", "StudyInstanceUID", "SOPInstanceUID")

MAX_IDENTIFIER = 1000
"""Characters; the standard allows 64."""


@dataclass(frozen=True)
class Intake:
    """The settings of an import.

    Attributes:
        store: receives the films.
        identities: names them.
        decode: decodes compressed frames.
        frame: which frame of a multi-frame file, from 1; None: files have a single frame.
        border: px to black out along every edge.
        boxes: areas to black out on every film.
    """

    store: Store
    identities: Identities
    decode: Decode
    frame: int | None = None
    border: int = 0
    boxes: tuple[Box, ...] = ()


def import_films(
    files: Sequence[Path],
    intake: Intake,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Outcome]:
    """Copy the films among ``files`` into the store; a refused file does not stop the import.

    Args:
        files: DICOM or not.
        intake: the settings.
        progress: called with (files done, total).

    Yields:
        the outcome of each file, in order.
    """
    return written(_prepared(files, intake), len(files), intake.store, progress)


def written(
    films: "Iterable[Prepared]", total: int, store: Store, progress: Callable[[int, int], None]
) -> Iterator[Outcome]:
    """Write films as they are prepared; while one is written and fsynced, the next is decoded.

    Args:
        films: two of them are in memory at a time.
        total: how many they are.
        store: receives them.
        progress: called with (films done, total).

    Yields:
        the outcome of each film, in order.
    """
    with ThreadPoolExecutor(max_workers=1) as disk:
        previous: Future[Outcome] | None = None
        for number, prepared in enumerate(films):
            if previous is not None:
                yield previous.result()
                progress(number, total)
            previous = disk.submit(_write, prepared, store)
        if previous is not None:
            yield previous.result()
            progress(total, total)


@dataclass(frozen=True)
class Prepared:
    """A film ready to be written, or an outcome without a film.

    Attributes:
        outcome: for the import's report.
        record, pixels: None if there is nothing to write.
        outline: what comes with the film; written unless the film has one.
    """

    outcome: Outcome
    record: StoredFilm | None = None
    pixels: npt.NDArray[np.uint16] | None = None
    outline: Outline | None = None


def _write(prepared: Prepared, store: Store) -> Outcome:
    if prepared.record is not None:
        store.put(prepared.record, prepared.pixels)
    if prepared.outline is not None:
        add_outline(store, prepared.outline)
    return prepared.outcome


def _prepared(files: Sequence[Path], intake: Intake) -> "Iterator[Prepared]":
    started: set[str] = set()  # films of this import; the last may not be written yet
    for path in files:
        prepared = _prepare(path, intake, started)
        if prepared.record is not None:
            started.add(prepared.record.film)
        yield prepared


def _prepare(path: Path, intake: Intake, started: set[str]) -> Prepared:
    try:
        with open_plain(path) as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as error:
        reason = f"{path}: cannot be opened ({error.strerror}); check its permissions"
        return Prepared(Outcome(path, "refused", reasons=(reason,)))
    if not begins_as_dicom(head):
        return Prepared(Outcome(path, "not DICOM", reasons=(why_not_dicom(head),)))
    try:
        with catch_warnings():
            simplefilter("ignore")  # pydicom warns of every malformed element
            return _read(path, intake, started)
    except NotAFilmError as error:
        return Prepared(Outcome(path, "not a film", reasons=(error.what.removeprefix("is "),)))
    except FilmError as error:
        return Prepared(Outcome(path, "refused", reasons=(str(error),)))


def _read(path: Path, intake: Intake, started: set[str]) -> Prepared:
    dataset = read_dataset(path, FILM_TAGS + tags((BURNED_IN, *IDENTIFIERS)))
    header = header_of(dataset, path)
    if intake.frame is None and header.frames > 1:
        raise FilmError(
            f"has {header.frames} frames", path, "choose one with --frame, counted from 1"
        )
    subject = _subject(dataset, path, intake.frame or 1)
    if (known := known_film(subject, intake, started, path)) is not None:
        return Prepared(Outcome(path, "known", known))
    shown = display(dataset, header, path, subject.frame, intake.decode)
    kind = FILM_KINDS[UID(str(dataset.SOPClassUID))]
    film = Film(shown.pixels, str(path), header.spacing)
    return new_film(film, path, subject, kind, _burned_in(dataset), intake, shown.stray_bits)


def known_film(subject: Subject, intake: Intake, started: set[str], path: Path) -> str | None:
    """The name of a film that is in the store, or ``started`` by this import; None if it is new.

    Raises:
        FilmError: it was imported as another patient's.
    """
    previous = intake.identities.find(subject.instance_uid, subject.frame)
    if previous is None:
        return None
    if previous.subject.person != subject.person:
        raise FilmError(
            "the same film was imported as another patient's",
            path,
            "find out which patient it shows, and export it again",
        )
    exists = previous.film in started or intake.store.record_path(previous.film).exists()
    return previous.film if exists else None


def new_film(
    film: Film,
    path: Path,
    subject: Subject,
    kind: str,
    burned_in: Literal["YES", "NO"] | None,
    intake: Intake,
    stray_bits: bool = False,
) -> Prepared:
    """Black out, name the film and describe it, ready to be written.

    Raises:
        FilmError: a box lies off the film, or nothing of it is left.
    """
    used = range_used(film.pixels)
    pixels = film.pixels.astype(np.uint16)
    if film.pixels.dtype == np.uint8:
        pixels *= np.uint16(257)
    pixels, boxes = blank(pixels, intake.boxes, intake.border, path)
    identity = intake.identities.name(subject)
    record = StoredFilm(
        film=identity.film,
        patient=identity.patient,
        study=identity.study,
        kind=kind,
        rows=film.shape[0],
        columns=film.shape[1],
        spacing_mm=film.spacing,
        burned_in=burned_in,
        range_used=used,
        stray_bits=stray_bits,
        blanked=boxes,
        state="held",
    )
    state: Literal["released", "held"] = "held" if record.reasons else "released"
    outcome = Outcome(path, state, identity.film, record.reasons)
    return Prepared(outcome, record.model_copy(update={"state": state}), pixels)


def _subject(dataset: Dataset, path: Path, frame: int) -> Subject:
    values = [text_of(dataset, name) for name in IDENTIFIERS]
    patient, issuer, study, instance = values
    if not instance:
        raise FilmError("its header has no SOPInstanceUID", path, "export it again")
    for name, value in zip(IDENTIFIERS, values, strict=True):
        # Undecodable bytes all become U+FFFD, which could merge two patients.
        if len(value) > MAX_IDENTIFIER or not value.isprintable() or "\ufffd" in value:
            raise FilmError(f"its {name} cannot be read", path, "export it again")
    return Subject(patient, issuer, study, instance, frame)


def _burned_in(dataset: Dataset) -> Literal["YES", "NO"] | None:
    """Anything but a plain YES or NO counts as absent."""
    value = text_of(dataset, BURNED_IN)
    return "NO" if value == "NO" else "YES" if value == "YES" else None
