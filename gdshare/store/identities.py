"""The one file that leads from the store back to patients.

A CSV beside the store, mode 600, a line a film. Only ``gdshare import`` reads it, so that a film
that came in already is known again and a patient keeps one name; nothing else opens it. Lines are
only ever added, each flushed to the disk before the film it is about is written.
"""

import csv
import io
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from gdshare.errors import LockedError, StoreError
from gdshare.lock import lock, lock_beside
from gdshare.storage import append

MODE = 0o600


@dataclass(frozen=True)
class Subject:
    """What a header says of whose film it is.

    Attributes:
        patient_id, issuer: an ID is one person's only within its issuer; either may be empty.
        study_uid: may be empty.
        instance_uid: the file's own.
        frame: of the file, from 1.
    """

    patient_id: str
    issuer: str
    study_uid: str
    instance_uid: str
    frame: int

    @property
    def study(self) -> str:
        """What films of one study share."""
        return self.study_uid or self.instance_uid

    @property
    def person(self) -> tuple[str, str]:
        """What films of one patient share; of an unnamed one, as far as can be known."""
        return (self.patient_id, self.issuer) if self.patient_id else ("", self.study)


@dataclass(frozen=True)
class Identity:
    """A film's, its patient's and its study's random names, and whose they are."""

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
    """Open the file for one import, and keep others away until it ends.

    It is read only once it is ours: what looks like a line cut short by a kill may be one that
    another import is just writing.

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
    """The file. ``open_identities`` keeps other imports away from it.

    Args:
        path: made if it is not there.
        draw: 80 random bits in base 32, a new draw at every call.

    Raises:
        StoreError: readable by others, damaged, or not such a file.
    """

    def __init__(self, path: Path, draw: Callable[[], str]) -> None:  # noqa: D107 - above
        self._path, self._draw = path, draw
        self._known: dict[tuple[str, int], Identity] = {}
        self._patients: dict[tuple[str, str], str] = {}
        self._studies: dict[str, str] = {}
        if path.exists():
            _require_private(path)
        if path.exists() and path.stat().st_size:
            for identity in _read(path):
                self._remember(identity)
        else:
            append(self._path, _line(COLUMNS), mode=MODE)

    def require(self, films: Iterable[str]) -> None:
        """Refuse to go on with a file that does not know the films of a store.

        Raises:
            StoreError: one of them is not in it: patients would get second names.
        """
        there = {identity.film for identity in self._known.values()}
        missing = [film for film in films if film not in there]
        if missing:
            raise StoreError(
                f"does not know {len(missing)} films of the store, such as {missing[0]}",
                self._path,
                "give the file that belongs to the store by --identities",
            )

    def known(self, instance_uid: str, frame: int) -> Identity | None:
        """The film as it was named before, or None."""
        return self._known.get((instance_uid, frame))

    def name(self, subject: Subject) -> Identity:
        """Name a film, and write that down.

        Without a patient ID a study counts as a patient: two people must never become one.
        """
        known = self.known(subject.instance_uid, subject.frame)
        if known is not None:
            return known
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
        self._known[subject.instance_uid, subject.frame] = identity
        self._patients[subject.person] = identity.patient
        self._studies[subject.study] = identity.study


def _line(cells: tuple[object, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow(cells)
    return text.getvalue().encode()


def _require_private(path: Path) -> None:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise StoreError(
            "leads back to patients and others may read it", path, f"chmod 600 {path.name}"
        )


def _read(path: Path) -> list[Identity]:
    """All lines. A last one without its end was cut short by a kill: its film was never written.

    Unless it is whole: then an editor has left out the end, and it is put back.
    """
    try:
        content = path.read_bytes()
        ended = content.rfind(b"\n") + 1
        if ended < len(content):
            if _is_whole(content[ended:]):
                content += b"\n"
                with path.open("ab") as stream:
                    stream.write(b"\n")
            elif content[ended:].startswith(b'"'):
                content = content[:ended]
                os.truncate(path, ended)
            else:
                raise ValueError("its last line was written by another program")
        head, *lines = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
        if tuple(head) != COLUMNS:
            raise ValueError("other columns")
        return [_identity(cells) for cells in lines]
    except (ValueError, csv.Error) as error:
        raise StoreError(
            f"damaged ({error})", path, "put its last good copy back, or import into a new store"
        ) from error


def _is_whole(line: bytes) -> bool:
    """Every cell is quoted, so that a line which ends in a quote after all its cells is whole."""
    try:
        [cells] = csv.reader(io.StringIO(line.decode(), newline=""), strict=True)
        _identity(cells)
    except (ValueError, csv.Error):
        return False
    return line.endswith(b'"')


def _identity(cells: list[str]) -> Identity:
    film, patient, study, person, issuer, study_uid, instance, frame = cells
    return Identity(film, patient, study, Subject(person, issuer, study_uid, instance, int(frame)))
