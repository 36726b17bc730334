"""A labelled cohort on disk.

::

    COHORT/
      cohort.json            protocol, split, counts, and the films with paths and patients
      train.patches.npy      uint16 [n, side, side], [0, 1] as 0 to 65535
      train.windows.npy      uint32 [n, 2]: PatchClass, and index of the film in cohort.json
      val.patches.npy ...    the same for validation and test

Patches are memory-mapped, so that a cohort may be larger than memory.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gdshare.cohort.split import Split
from gdshare.errors import CohortError
from gdshare.plain_files import TooLargeError, read_plain, require_plain
from gdshare.protocol import CLASSES, Protocol

INDEX = "cohort.json"
FULL_SCALE = 65535
LABEL_AGAIN = "label the cohort again"
MAX_INDEX_BYTES = 256 * 1024 * 1024

Stored = TypeVar("Stored", bound=np.generic)
Count = Annotated[int, Field(ge=0)]


class CohortFilm(BaseModel):
    """A film of the cohort; its paths are absolute and stay at the hospital."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patient: str
    image: Path
    mask: Path | None
    positive: bool
    split: Split
    spacing_mm: float | None = None


class SplitCounts(BaseModel):
    """Patients, films and windows of a split.

    Attributes:
        negative, positive: patients with at least one labelled window, by diagnosis. A bundle
            publishes these numbers, and pooling weighs by them.
        films: number of films.
        i, n, p, discarded: windows of each class, and windows of none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    negative: Count = 0
    positive: Count = 0
    films: Count = 0
    i: Count = 0
    n: Count = 0
    p: Count = 0
    discarded: Count = 0


class CohortIndex(BaseModel):
    """The content of ``cohort.json``.

    Attributes:
        seed, fractions: of the random split; None if the table divides the patients.
        patch_mm: smallest and largest side of a window on the patient, mm, over the cut films with
            a known pixel size; None if there are none.
        films: in the table's order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["gdshare-cohort/1"] = "gdshare-cohort/1"
    protocol: Protocol
    seed: int | None
    fractions: tuple[float, float, float] | None
    counts: dict[Split, SplitCounts]
    patch_mm: tuple[float, float] | None = None
    films: tuple[CohortFilm, ...]


@dataclass(frozen=True)
class Patches:
    """The labelled windows of a split.

    Attributes:
        pixels: uint16 [n, side, side], memory-mapped; [0, 1] as 0 to 65535.
        labels: uint8 [n], each a ``PatchClass``, or in other ``classes`` an index of a name.
        films: uint32 [n], indices into the cohort's films.
        classes: names of the labels; a cohort's are always ``CLASSES``.
    """

    pixels: npt.NDArray[np.uint16]
    labels: npt.NDArray[np.uint8]
    films: npt.NDArray[np.uint32]
    classes: tuple[str, ...] = CLASSES

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.labels)

    def scaled(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """The windows at ``rows``, int64 [k], as float32 [k, side, side] in [0, 1]."""
        return np.divide(self.pixels[rows], FULL_SCALE, dtype=np.float32)

    def rows_by_class(self) -> list[npt.NDArray[np.int64]]:
        """The rows of each class's windows, int64 [k], in the order of ``classes``."""
        return [np.flatnonzero(self.labels == label) for label in range(len(self.classes))]


@dataclass(frozen=True)
class Cohort:
    """An open cohort."""

    path: Path
    index: CohortIndex

    @property
    def protocol(self) -> Protocol:
        """The patch protocol of its windows."""
        return self.index.protocol

    @property
    def films(self) -> tuple[CohortFilm, ...]:
        """All films, of every split."""
        return self.index.films

    @property
    def counts(self) -> Mapping[Split, SplitCounts]:
        """Patients, films and windows of each split."""
        return self.index.counts

    def films_of(self, split: Split) -> list[CohortFilm]:
        """The films of a split, in the table's order."""
        return [film for film in self.films if film.split == split]

    def patches(self, split: Split) -> Patches:
        """Map the windows of a split into memory.

        Raises:
            CohortError: a file is missing or damaged, or does not match the index.
        """
        pixels = self._array(f"{split}.patches.npy", np.uint16, 3)
        windows = self._array(f"{split}.windows.npy", np.uint32, 2)
        counts = self.counts[split]
        side = self.protocol.side
        expected = counts.i + counts.n + counts.p
        if pixels.shape != (expected, side, side) or windows.shape != (expected, 2):
            raise CohortError(
                f"the {split} patches do not match {INDEX}: {pixels.shape} and {windows.shape} "
                f"instead of {expected} windows of {side} px",
                self.path,
                LABEL_AGAIN,
            )
        return Patches(pixels, windows[:, 0].astype(np.uint8), np.asarray(windows[:, 1]))

    def _array(self, name: str, dtype: type[Stored], ndim: int) -> npt.NDArray[Stored]:
        path = self.path / name
        try:
            require_plain(path)
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise CohortError("cannot be read", path, LABEL_AGAIN) from error
        if array.dtype != dtype or array.ndim != ndim:
            raise CohortError(
                f"has {array.dtype} {array.shape} instead of {ndim}-dimensional {dtype.__name__}",
                path,
                LABEL_AGAIN,
            )
        mapped: npt.NDArray[Stored] = array
        return mapped


def open_cohort(path: Path) -> Cohort:
    """Open a folder written by ``label_cohort``.

    Raises:
        CohortError: not a cohort, damaged, or of another version.
    """
    index = path / INDEX
    try:
        content = read_plain(index, MAX_INDEX_BYTES)
        return Cohort(path, CohortIndex.model_validate_json(content))
    except TooLargeError as error:
        raise CohortError("is too large", index, LABEL_AGAIN) from error
    except OSError as error:
        raise CohortError(
            f"not a cohort (no readable {INDEX})", path, "make one with gdshare label"
        ) from error
    except (ValidationError, ValueError) as error:
        raise CohortError("is damaged or of another version", index, LABEL_AGAIN) from error


def cohort_digest(cohort: Cohort) -> str:
    """SHA-256 over the training and validation windows: pixels, classes, films."""
    return windows_digest(cohort, ("train", "val"))


def windows_digest(cohort: Cohort, splits: Sequence[Split]) -> str:
    """SHA-256 over the windows of some splits: pixels, classes, films."""
    sha = hashlib.sha256()
    for split in splits:
        patches = cohort.patches(split)
        for array in (patches.pixels, patches.labels, patches.films):
            sha.update(repr((array.shape, array.dtype.str)).encode())
            for part in np.array_split(array, max(1, len(array) // 4096)):
                sha.update(np.ascontiguousarray(part).data)
    return sha.hexdigest()
