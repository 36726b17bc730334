"""Copying films out of a folder of DICOM files into the store.

For each file, in this order: read the few elements that are wanted, decode, blank what is to be
blanked, name the film (and write the name down in the identities), write the pixels, then the
record. A kill between any two leaves a film that is not finished; the next import gives it the same
name and finishes it.
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
from gdshare.films.dicom.header import FILMS, WANTED, header_of, read_dataset, tags
from gdshare.films.dicom.presentation import present
from gdshare.films.dicom.stored import Decode, stored_values
from gdshare.films.film import is_dicom
from gdshare.store.blanking import blanked
from gdshare.store.folder import Store
from gdshare.store.identities import Identities, Subject
from gdshare.store.record import StoredFilm

ABOUT = ("BurnedInAnnotation",)
WHOSE = ("PatientID", "IssuerOfPatientID", "StudyInstanceUID", "SOPInstanceUID")

LONGEST = 1000
"""Characters of an identifier; the standard has 64."""

Kind = Literal["released", "held", "known", "refused", "not DICOM"]


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
        path: of the file.
        kind: released for use or held for a review, now in the store; known: was there already;
            refused; or no DICOM file at all.
        film: its name in the store.
        reason: why it was refused.
    """

    path: Path
    kind: Kind
    film: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class Intake:
    """What an import is told.

    Attributes:
        store: to copy into.
        identities: to name by.
        decode: for compressed frames.
        frame: of files with many, from 1; None: a file has one.
        border: px made black along every edge.
        boxes: made black on every film.
    """

    store: Store
    identities: Identities
    decode: Decode
    frame: int | None = None
    border: int = 0
    boxes: tuple[Box, ...] = ()


def take_in(
    files: Sequence[Path],
    intake: Intake,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Outcome]:
    """Copy the films among ``files``; what is refused stops nothing.

    While one film is written and flushed to the disk, the next is decoded: two are in memory.

    Args:
        files: of any kind.
        intake: how and where to.
        progress: called with (files done, files in all).

    Yields:
        what became of each file, in their order.
    """
    with ThreadPoolExecutor(max_workers=1) as disk:
        before: Future[Outcome] | None = None
        begun: set[str] = set()  # films of this import, of which the last may not be written yet
        for number, path in enumerate(files):
            prepared = _prepared(path, intake, begun)
            if prepared.record is not None:
                begun.add(prepared.record.film)
            if before is not None:
                yield before.result()
                progress(number, len(files))
            before = disk.submit(_written, prepared, intake.store)
        if before is not None:
            yield before.result()
            progress(len(files), len(files))


def files_in(folder: Path) -> list[Path]:
    """All regular files under a folder, sorted; links are not followed."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


@dataclass(frozen=True)
class _Prepared:
    """A film that has yet to be written, or an outcome without one."""

    outcome: Outcome
    record: StoredFilm | None = None
    pixels: npt.NDArray[np.uint16] | None = None


def _written(prepared: _Prepared, store: Store) -> Outcome:
    if prepared.record is not None:
        store.put(prepared.record, prepared.pixels)
    return prepared.outcome


def _prepared(path: Path, intake: Intake, begun: set[str]) -> _Prepared:
    try:
        path.open("rb").close()
    except OSError as error:
        reason = f"{path}: cannot be opened ({error.strerror}); check its permissions"
        return _Prepared(Outcome(path, "refused", reason=reason))
    if not is_dicom(path):
        return _Prepared(Outcome(path, "not DICOM"))
    try:
        with catch_warnings():
            simplefilter("ignore")  # pydicom tells of every element that breaks a rule of form
            return _film(path, intake, begun)
    except FilmError as error:
        return _Prepared(Outcome(path, "refused", reason=str(error)))


def _film(path: Path, intake: Intake, begun: set[str]) -> _Prepared:
    dataset = read_dataset(path, WANTED + tags(ABOUT + WHOSE))
    header = header_of(dataset, path)
    if intake.frame is None and header.frames > 1:
        raise FilmError(
            f"holds {header.frames} frames", path, "say which is the film by --frame, from 1"
        )
    subject = _subject(dataset, path, intake.frame or 1)
    known = intake.identities.known(subject.instance_uid, subject.frame)
    if known is not None and known.subject.person != subject.person:
        raise FilmError(
            "another patient's film came in under the same SOPInstanceUID",
            path,
            "find out whose it is, and export it again",
        )
    if known is not None and (known.film in begun or intake.store.record_path(known.film).exists()):
        return _Prepared(Outcome(path, "known", known.film))
    stored = stored_values(dataset, header, path, subject.frame, intake.decode)
    pixels = present(stored, dataset, header, path)
    pixels, boxes = blanked(pixels, intake.boxes, intake.border, path)
    burned_in = _burned_in(dataset)
    identity = intake.identities.name(subject)
    state: Literal["released", "held"] = "released" if burned_in == "NO" else "held"
    record = StoredFilm(
        film=identity.film,
        patient=identity.patient,
        study=identity.study,
        kind=FILMS[UID(str(dataset.SOPClassUID))],
        rows=header.rows,
        columns=header.columns,
        spacing_mm=header.spacing,
        burned_in=burned_in,
        blanked=boxes,
        state=state,
    )
    return _Prepared(Outcome(path, state, identity.film), record, pixels)


def _subject(dataset: Dataset, path: Path, frame: int) -> Subject:
    patient, issuer, study, instance = (str(dataset.get(name) or "").strip() for name in WHOSE)
    if not instance:
        raise FilmError("its header lacks SOPInstanceUID", path, "export it again")
    for name, value in zip(WHOSE, (patient, issuer, study, instance), strict=True):
        # Bytes that do not decode become one and the same sign, and two patients one.
        if len(value) > LONGEST or not value.isprintable() or "\ufffd" in value:
            raise FilmError(f"its {name} cannot be read", path, "export it again")
    return Subject(patient, issuer, study, instance, frame)


def _burned_in(dataset: Dataset) -> Literal["YES", "NO"] | None:
    """Only a plain NO is one."""
    told = dataset.get("BurnedInAnnotation")
    return "NO" if told == "NO" else "YES" if told == "YES" else None
