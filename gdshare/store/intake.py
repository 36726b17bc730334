"""Importing films from DICOM files into the store.

For each file, in this order: read the few elements needed, decode, black out, name the film (and
record the name in the identities), write the pixels, write the record. A kill in between leaves an
unfinished film; the next import gives it the same name and finishes it.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from warnings import catch_warnings, simplefilter

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.uid import UID

from gdshare.errors import FilmError
from gdshare.films.box import Box
from gdshare.films.dicom.film import displayed
from gdshare.films.dicom.header import FILM_KINDS, FILM_TAGS, header_of, read_dataset, tags
from gdshare.films.dicom.stored import Decode
from gdshare.films.film import is_dicom
from gdshare.store.blanking import blank
from gdshare.store.folder import Store
from gdshare.store.identities import Identities, Subject
from gdshare.store.record import StoredFilm

BURNED_IN = "BurnedInAnnotation"
IDENTIFIERS = ("PatientID", "IssuerOfPatientID", "StudyInstanceUID", "SOPInstanceUID")

MAX_IDENTIFIER = 1000
"""Characters; the standard allows 64."""

Kind = Literal["released", "held", "known", "refused", "not DICOM"]


@dataclass(frozen=True)
class Outcome:
    """The result for one file.

    Attributes:
        path: the file.
        kind: released or held, if imported now; known, if imported before; refused; not DICOM.
        film: its name in the store.
        reason: why it was refused.
    """

    path: Path
    kind: Kind
    film: str | None = None
    reason: str = ""


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

    While a film is written and fsynced, the next is decoded, so two films are in memory.

    Args:
        files: DICOM or not.
        intake: the settings.
        progress: called with (files done, total).

    Yields:
        the outcome of each file, in order.
    """
    with ThreadPoolExecutor(max_workers=1) as disk:
        previous: Future[Outcome] | None = None
        started: set[str] = set()  # films of this import; the last may not be written yet
        for number, path in enumerate(files):
            prepared = _prepare(path, intake, started)
            if prepared.record is not None:
                started.add(prepared.record.film)
            if previous is not None:
                yield previous.result()
                progress(number, len(files))
            previous = disk.submit(_write, prepared, intake.store)
        if previous is not None:
            yield previous.result()
            progress(len(files), len(files))


def files_in(folder: Path) -> list[Path]:
    """All regular files under a folder, sorted; symbolic links are not followed."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


@dataclass(frozen=True)
class _Prepared:
    """A film ready to be written, or an outcome without a film."""

    outcome: Outcome
    record: StoredFilm | None = None
    pixels: npt.NDArray[np.uint16] | None = None


def _write(prepared: _Prepared, store: Store) -> Outcome:
    if prepared.record is not None:
        store.put(prepared.record, prepared.pixels)
    return prepared.outcome


def _prepare(path: Path, intake: Intake, started: set[str]) -> _Prepared:
    try:
        path.open("rb").close()
    except OSError as error:
        reason = f"{path}: cannot be opened ({error.strerror}); check its permissions"
        return _Prepared(Outcome(path, "refused", reason=reason))
    if not is_dicom(path):
        return _Prepared(Outcome(path, "not DICOM"))
    try:
        with catch_warnings():
            simplefilter("ignore")  # pydicom warns of every malformed element
            return _read(path, intake, started)
    except FilmError as error:
        return _Prepared(Outcome(path, "refused", reason=str(error)))


def _read(path: Path, intake: Intake, started: set[str]) -> _Prepared:
    dataset = read_dataset(path, FILM_TAGS + tags((BURNED_IN, *IDENTIFIERS)))
    header = header_of(dataset, path)
    if intake.frame is None and header.frames > 1:
        raise FilmError(
            f"has {header.frames} frames", path, "choose one with --frame, counted from 1"
        )
    subject = _subject(dataset, path, intake.frame or 1)
    previous = intake.identities.find(subject.instance_uid, subject.frame)
    if previous is not None and previous.subject.person != subject.person:
        raise FilmError(
            "another patient's film was imported under the same SOPInstanceUID",
            path,
            "find out which patient it shows, and export it again",
        )
    if previous is not None and (
        previous.film in started or intake.store.record_path(previous.film).exists()
    ):
        return _Prepared(Outcome(path, "known", previous.film))

    pixels = displayed(dataset, header, path, subject.frame, intake.decode)
    pixels, boxes = blank(pixels, intake.boxes, intake.border, path)
    burned_in = _burned_in(dataset)
    identity = intake.identities.name(subject)
    state: Literal["released", "held"] = "released" if burned_in == "NO" else "held"
    record = StoredFilm(
        film=identity.film,
        patient=identity.patient,
        study=identity.study,
        kind=FILM_KINDS[UID(str(dataset.SOPClassUID))],
        rows=header.rows,
        columns=header.columns,
        spacing_mm=header.spacing,
        burned_in=burned_in,
        blanked=boxes,
        state=state,
    )
    return _Prepared(Outcome(path, state, identity.film), record, pixels)


def _subject(dataset: Dataset, path: Path, frame: int) -> Subject:
    values = [str(dataset.get(name) or "").strip() for name in IDENTIFIERS]
    patient, issuer, study, instance = values
    if not instance:
        raise FilmError("its header lacks SOPInstanceUID", path, "export it again")
    for name, value in zip(IDENTIFIERS, values, strict=True):
        # Undecodable bytes all become U+FFFD, which could merge two patients.
        if len(value) > MAX_IDENTIFIER or not value.isprintable() or "\ufffd" in value:
            raise FilmError(f"its {name} cannot be read", path, "export it again")
    return Subject(patient, issuer, study, instance, frame)


def _burned_in(dataset: Dataset) -> Literal["YES", "NO"] | None:
    """Anything but a plain YES or NO counts as absent."""
    value = dataset.get(BURNED_IN)
    return "NO" if value == "NO" else "YES" if value == "YES" else None
