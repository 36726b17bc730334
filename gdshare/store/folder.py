"""The store on disk.

::

    STORE/
      store.json            the store's format
      films/FILM.tif        16-bit gray as displayed, uncompressed: a radiograph hardly shrinks, and
                            compressing it takes longer than decoding it did
      films/FILM.json       a ``StoredFilm``; written last, so that a film without it is unfinished
      outlines/FILM.json    what a person drew and diagnosed, see ``outline``
      masks/FILM.png        derived from the outlines for ``gdshare label``
      labels.csv            the table of outlined films, see ``table``

The folder has mode 700: the pixels are patient data whatever the files are called.
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
from gdshare.plain_files import TooLargeError, read_plain
from gdshare.storage import replacing, write_bytes, write_json
from gdshare.store.record import NAME, StoredFilm

INDEX, FILMS, LOCK = "store.json", "films", ".lock"
FORMAT = "gdshare-store/1"
MAX_RECORD_BYTES = 1024**2
_IMPORT_AGAIN = "delete it and import the film again"


class _Index(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str


@dataclass(frozen=True)
class Store:
    """An open store."""

    path: Path

    @property
    def folder(self) -> Path:
        """The folder of pixels and records."""
        return self.path / FILMS

    def pixels_path(self, film: str) -> Path:
        """The file of a film's pixels."""
        return self.folder / f"{_checked(film)}.tif"

    def record_path(self, film: str) -> Path:
        """The file of a film's record."""
        return self.folder / f"{_checked(film)}.json"

    def names(self) -> list[str]:
        """Names of all finished films, sorted."""
        return sorted(path.stem for path in self.folder.glob("f-*.json"))

    def films(self) -> Iterator[StoredFilm]:
        """All finished films, sorted by name.

        Raises:
            StoreError: a record is damaged.
        """
        return (self.record(name) for name in self.names())

    def record(self, film: str) -> StoredFilm:
        """Read a film's record.

        Raises:
            StoreError: there is no such film, or its record is damaged.
        """
        path = self.record_path(film)
        try:
            record = StoredFilm.model_validate_json(read_plain(path, MAX_RECORD_BYTES))
        except FileNotFoundError as error:
            raise StoreError(f"contains no film {film}", self.path, "see gdshare review") from error
        except TooLargeError as error:
            raise StoreError("too large for a film's record", path, _IMPORT_AGAIN) from error
        except (OSError, ValidationError) as error:
            raise StoreError("damaged", path, _IMPORT_AGAIN) from error
        if record.film != film:
            raise StoreError(f"is the record of {record.film}", path, _IMPORT_AGAIN)
        return record

    def pixels(self, film: StoredFilm) -> Film:
        """Read a film's pixels, with their spacing.

        Raises:
            FilmError: the file is missing or damaged.
        """
        path = self.pixels_path(film.film)
        if not path.exists():
            raise FilmError(
                "missing",
                path,
                "restore it, or reject the film with gdshare review "
                f"{quote(str(self.path))} {film.film} --reject",
            )
        image = read_film(path)
        return Film(image.pixels, image.name, film.spacing_mm)

    def put(self, record: StoredFilm, pixels: npt.NDArray[np.uint16] | None = None) -> None:
        """Write a film's pixels, if given, and then its record."""
        if pixels is not None:
            with replacing(self.pixels_path(record.film), 0o600) as stream:
                Image.fromarray(pixels).save(stream, "TIFF")
        text = record.model_dump_json(indent=2) + "\n"
        write_bytes(self.record_path(record.film), text.encode(), 0o600)

    def lock(self) -> AbstractContextManager[None]:
        """Lock the store while a film is read, changed and written."""
        return lock(self.path / LOCK)

    def sweep(self) -> None:
        """Delete half-written files of an interrupted import; no import may be running."""
        for path in self.folder.glob(".f-*"):
            path.unlink(missing_ok=True)

    def delete_pixels(self, film: str) -> None:
        """Delete a rejected film's pixels."""
        self.pixels_path(film).unlink(missing_ok=True)


def make_store(path: Path) -> Store:
    """Create an empty store, or open an existing one.

    Raises:
        StoreError: the folder contains something else.
    """
    if (path / INDEX).exists():
        return open_store(path)
    if path.exists() and (not path.is_dir() or _has_content(path)):
        raise StoreError("is not a store, and not empty", path, "choose another --out")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    (path / FILMS).mkdir(mode=0o700, exist_ok=True)
    write_json(path / INDEX, _Index(format=FORMAT).model_dump())
    return Store(path)


def _has_content(path: Path) -> bool:
    """Ignores the empty films folder: a kill may leave it before the index is written."""
    content = list(path.iterdir())
    return bool(content) and (content != [path / FILMS] or any((path / FILMS).iterdir()))


def open_store(path: Path) -> Store:
    """Open a store.

    Raises:
        StoreError: the folder is not a store, or has another format.
    """
    try:
        index = _Index.model_validate_json(read_plain(path / INDEX, MAX_RECORD_BYTES))
    except OSError as error:
        raise StoreError(
            f"not a store (no readable {INDEX})", path, "create one with gdshare import"
        ) from error
    except ValidationError as error:
        raise StoreError("damaged", path / INDEX, "import the films again") from error
    if index.format != FORMAT:
        raise StoreError(f"unknown format {index.format:.40}", path, "import the films again")
    return Store(path)


def _checked(film: str) -> str:
    """Refuse a name that could lead out of the folder."""
    if not NAME.fullmatch(film):
        raise StoreError("not a film's name", f"{film!r:.60}", "names look like f-abcdefghijklmnop")
    return film
