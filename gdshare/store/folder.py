"""The store on disk.

::

    STORE/
      store.json            what this folder is
      films/FILM.tif        16-bit gray, as a radiologist sees it, uncompressed: a radiograph
                            hardly shrinks, and compressing it takes longer than decoding it did
      films/FILM.json       a ``StoredFilm``; written last, so a film without it was never finished
      outlines/FILM.json    what a person drew on it and decided, see ``outline``
      masks/FILM.png        made from the outlines for ``gdshare label``, as is
      labels.csv            the table of outlined films, see ``table``

Mode 700: films are films, whatever they are called.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError

from gdshare.errors import FilmError, StoreError
from gdshare.films import Film, read_film
from gdshare.lock import lock
from gdshare.storage import replacing, write_bytes, write_json
from gdshare.store.record import NAME, StoredFilm

INDEX, FILMS, LOCK = "store.json", "films", ".lock"
FORMAT = "gdshare-store/1"
MAX_RECORD_BYTES = 1024**2


class _Index(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str


@dataclass(frozen=True)
class Store:
    """An opened store."""

    path: Path

    @property
    def folder(self) -> Path:
        """Where all films' files lie."""
        return self.path / FILMS

    def pixels_path(self, film: str) -> Path:
        """Where a film's pixels lie."""
        return self.folder / f"{_checked(film)}.tif"

    def record_path(self, film: str) -> Path:
        """Where a film's record lies."""
        return self.folder / f"{_checked(film)}.json"

    def names(self) -> list[str]:
        """Of all finished films, sorted."""
        return sorted(path.stem for path in self.folder.glob("f-*.json"))

    def films(self) -> Iterator[StoredFilm]:
        """All finished films, in the order of their names.

        Raises:
            StoreError: a record is damaged.
        """
        return (self.record(name) for name in self.names())

    def record(self, film: str) -> StoredFilm:
        """One film's record.

        Raises:
            StoreError: no such film, or its record is damaged.
        """
        path = self.record_path(film)
        try:
            if path.stat().st_size > MAX_RECORD_BYTES:
                raise StoreError(
                    "too large for a film's record", path, "delete it and import the film again"
                )
            found = StoredFilm.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise StoreError(f"holds no film {film}", self.path, "see gdshare review") from error
        except (OSError, ValidationError) as error:
            raise StoreError("damaged", path, "delete it and import the film again") from error
        if found.film != film:
            raise StoreError(
                f"is the record of {found.film}", path, "delete it and import the film again"
            )
        return found

    def pixels(self, film: StoredFilm) -> Film:
        """A film's pixels, with their size.

        Raises:
            FilmError: gone or damaged.
        """
        path = self.pixels_path(film.film)
        if not path.exists():
            raise FilmError(
                "gone",
                path,
                f"put it back, or reject the film with gdshare review "
                f"{quote(str(self.path))} {film.film} --reject",
            )
        shown = read_film(path)
        return Film(shown.pixels, shown.name, film.spacing_mm)

    def put(self, record: StoredFilm, pixels: npt.NDArray[np.uint16] | None = None) -> None:
        """Write a film's pixels, if given, and then its record."""
        if pixels is not None:
            with replacing(self.pixels_path(record.film), 0o600) as stream:
                Image.fromarray(pixels).save(stream, "TIFF")
        text = record.model_dump_json(indent=2) + "\n"
        write_bytes(self.record_path(record.film), text.encode(), 0o600)

    def changing(self) -> AbstractContextManager[None]:
        """Hold the store while a film that is in it is read, changed and written."""
        return lock(self.path / LOCK)

    def sweep(self) -> None:
        """Delete what a kill left half written; nobody else may be importing."""
        for path in self.folder.glob(".f-*"):
            path.unlink(missing_ok=True)

    def drop_pixels(self, film: str) -> None:
        """Delete a rejected film's pixels."""
        self.pixels_path(film).unlink(missing_ok=True)


def make_store(path: Path) -> Store:
    """Make an empty store, or open the one that is there.

    Raises:
        StoreError: the folder holds something else.
    """
    if (path / INDEX).exists():
        return open_store(path)
    if path.exists() and (not path.is_dir() or _holds_something(path)):
        raise StoreError("holds something else than a store", path, "choose another --out")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    (path / FILMS).mkdir(mode=0o700, exist_ok=True)
    write_json(path / INDEX, _Index(format=FORMAT).model_dump())
    return Store(path)


def _holds_something(path: Path) -> bool:
    """Anything but the empty folder that a kill may leave before the index is written."""
    left = list(path.iterdir())
    return bool(left) and (left != [path / FILMS] or any((path / FILMS).iterdir()))


def open_store(path: Path) -> Store:
    """Open a store.

    Raises:
        StoreError: not one, or of another version.
    """
    try:
        found = _Index.model_validate_json((path / INDEX).read_bytes())
    except OSError as error:
        raise StoreError(
            f"not a store (no readable {INDEX})", path, "make one with gdshare import"
        ) from error
    except ValidationError as error:
        raise StoreError("damaged", path / INDEX, "import the films again") from error
    if found.format != FORMAT:
        raise StoreError(f"of another version ({found.format:.40})", path, "import the films again")
    return Store(path)


def _checked(film: str) -> str:
    """A name that cannot lead out of the folder."""
    if not NAME.fullmatch(film):
        raise StoreError("not a film's name", f"{film!r:.60}", "they look like f-abcdefghijklmnop")
    return film
