"""The one file that links the store's random names to patients.

A CSV beside the store, mode 600, one line per film. Only ``gdshare import`` reads it, to recognise
films it has already imported and to keep one name per patient. The file is append-only, and each
line is fsynced before its film is written.
"""

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from gdshare.errors import LockedError, StoreError
from gdshare.lock import lock, lock_beside
from gdshare.secret_files import ExposedError, read_secret
from gdshare.spelling import patient_name
from gdshare.storage import append

MODE = 0o600
MAX_BYTES = 1024**3


@dataclass(frozen=True)
class Subject:
    """The identifiers in a film's header.

    Attributes:
        patient_id, issuer: an ID is unique only within its issuer; either may be empty.
        study_uid: may be empty.
        instance_uid: SOPInstanceUID.
        frame: frame number within the file, from 1.
    """

    patient_id: str
    issuer: str
    study_uid: str
    instance_uid: str
    frame: int

    @property
    def study(self) -> str:
        """Equal for all films of one study."""
        return self.study_uid or self.instance_uid

    @property
    def person(self) -> tuple[str, str]:
        """Equal for all films of one patient; without a patient ID, for all of one study."""
        patient = patient_name(self.patient_id)
        return (patient, patient_name(self.issuer)) if patient else ("", self.study)


@dataclass(frozen=True)
class Identity:
    """The random names of a film, its patient and its study, with the header's identifiers."""

    film: str
    patient: str
    study: str
    subject: Subject

    def cells(self) -> tuple[object, ...]:
        """In the order of ``COLUMNS``."""
        return self.film, self.patient, self.study, *astuple(self.subject)


COLUMNS = ("film", "patient", "study", *(field.name for field in fields(Subject)))


@contextmanager
def open_identities(path: Path, draw: Callable[[], str]) -> Iterator["Identities"]:
    """Open the file for one import and lock out others until it ends.

    It is read under the lock: what looks like a line cut short by a kill may be one that another
    import is still writing.

    Raises:
        StoreError: another import is using it; or see ``Identities``.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(lock(lock_beside(path), timeout_s=0))
        except LockedError as error:
            raise StoreError(
                f"another import is using it ({error.what})", path, error.remedy
            ) from error
        yield Identities(path, draw)


class Identities:
    """The open file. Use ``open_identities``, which locks it.

    Args:
        path: created if missing.
        draw: returns 80 new random bits in base 32 at every call.

    Raises:
        StoreError: the file is readable by others or damaged.
    """

    def __init__(self, path: Path, draw: Callable[[], str]) -> None:  # noqa: D107 - above
        self._path, self._draw = path, draw
        self._films: dict[tuple[str, int], Identity] = {}
        self._patients: dict[tuple[str, str], str] = {}
        self._studies: dict[str, str] = {}
        content = _content(path)
        if not content:
            append(self._path, _line(COLUMNS), mode=MODE)
        for identity in _read(path, content) if content else ():
            self._remember(identity)

    def require_films(self, films: Iterable[str]) -> None:
        """Refuse a file that lacks films of the store.

        Raises:
            StoreError: a film is missing, so patients would get second names.
        """
        listed = {identity.film for identity in self._films.values()}
        missing = [film for film in films if film not in listed]
        if missing:
            raise StoreError(
                f"lacks {len(missing)} films of the store, such as {missing[0]}",
                self._path,
                "pass the store's own file with --identities",
            )

    def find(self, instance_uid: str, frame: int) -> Identity | None:
        """The identity of a film imported before, or None."""
        return self._films.get((instance_uid, frame))

    def name(self, subject: Subject) -> Identity:
        """Name a film and record its name.

        Without a patient ID, each study counts as a patient: two people must never become one.
        """
        previous = self.find(subject.instance_uid, subject.frame)
        if previous is not None:
            return previous
        identity = Identity(
            f"f-{self._draw()}",
            self._patients.get(subject.person) or f"p-{self._draw()}",
            self._studies.get(subject.study) or f"s-{self._draw()}",
            subject,
        )
        append(self._path, _line(identity.cells()), mode=MODE)
        self._remember(identity)
        return identity

    def _remember(self, identity: Identity) -> None:
        subject = identity.subject
        self._films[subject.instance_uid, subject.frame] = identity
        self._patients[subject.person] = identity.patient
        self._studies[subject.study] = identity.study


def _line(cells: tuple[object, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow(cells)
    return text.getvalue().encode()


def _content(path: Path) -> bytes:
    """All lines; nothing where there is no such file yet."""
    try:
        return read_secret(path, MAX_BYTES)
    except FileNotFoundError:
        return b""
    except ExposedError as error:
        raise StoreError(
            "identifies patients, and others may read it", path, f"chmod 600 {path.name}"
        ) from error
    except OSError as error:
        raise StoreError(f"cannot be read ({error.strerror})", path, "check the path") from error


def _read(path: Path, content: bytes) -> list[Identity]:
    """Read all lines, and repair a last line without a newline.

    Such a line was cut short by a kill, so its film was never written: it is dropped. If it is
    complete, an editor left out the newline: it is kept.
    """
    try:
        end = content.rfind(b"\n") + 1
        if end < len(content):
            if _is_complete(content[end:]):
                content += b"\n"
                with path.open("ab") as stream:
                    stream.write(b"\n")
            elif content[end:].startswith(b'"'):
                content = content[:end]
                os.truncate(path, end)
            else:
                raise ValueError("its last line was written by another program")
        head, *lines = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
        if tuple(head) != COLUMNS:
            raise ValueError("unknown columns")
        return [_identity(cells) for cells in lines]
    except (ValueError, csv.Error) as error:
        raise StoreError(
            f"damaged ({error})", path, "restore its last good copy, or import into a new store"
        ) from error


def _is_complete(line: bytes) -> bool:
    """Every cell is quoted, so a line is complete if it has all cells and ends in a quote."""
    try:
        [cells] = csv.reader(io.StringIO(line.decode(), newline=""), strict=True)
        _identity(cells)
    except (ValueError, csv.Error):
        return False
    return line.endswith(b'"')


def _identity(cells: list[str]) -> Identity:
    film, patient, study, person, issuer, study_uid, instance, frame = cells
    return Identity(film, patient, study, Subject(person, issuer, study_uid, instance, int(frame)))
