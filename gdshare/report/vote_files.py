"""What ``gdshare classify --map`` keeps of each film: a picture, every vote, and one table.

::

    OUT/
      FILM.votes.png    see ``vote_map``
      FILM.votes.dcm    of a DICOM film: see ``vote_capture``
      FILM.votes.json   a VoteRecord
      films.csv         a line a film; written last
"""

import csv
import io
import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gdshare.errors import FilmError
from gdshare.films import Film
from gdshare.films.signature import is_dicom
from gdshare.patches import Grid
from gdshare.plain_files import MAX_RECORD, read_plain
from gdshare.protocol import CLASSES, PatchClass
from gdshare.report.vote_map import draw_map
from gdshare.storage import make_folder, write_bytes, write_json
from gdshare.vote import Verdict, VoteMap

log = logging.getLogger(__name__)

TABLE = "films.csv"
COLUMNS = ("film", "verdict", "ratio", "threshold", "i", "n", "p")

Count = Annotated[int, Field(ge=0)]


class VoteRecord(BaseModel):
    """``FILM.votes.json``: what a model makes of a film. It stays where the film may be.

    Attributes:
        film: its name.
        film_sha256, model_sha256: of the file, and of the model's weights.
        verdict, ratio, threshold: Eq. 4; no ratio where no window was called N or P.
        rows, columns, patch, stride: the grid; the last two in px of the film.
        called: network after network, row after row, a letter a window: I, N or P.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["gdshare-votes/1"] = "gdshare-votes/1"
    film: str
    film_sha256: str
    model_sha256: str
    verdict: Verdict
    ratio: float | None
    threshold: float
    rows: Count
    columns: Count
    patch: Count
    stride: Count
    called: tuple[tuple[str, ...], ...]

    @model_validator(mode="after")
    def _of_its_grid(self) -> Self:
        """Every network has a letter for every window."""
        sizes = {(len(network), *map(len, network)) for network in self.called}
        if sizes != {(self.rows, *[self.columns] * self.rows)}:
            raise ValueError("votes must be of the grid")
        if set("".join("".join(network) for network in self.called)) - set(CLASSES):
            raise ValueError("a vote is I, N or P")
        return self

    @property
    def grid(self) -> Grid:
        """The film's windows."""
        return Grid(self.rows, self.columns, self.patch, self.stride)

    @property
    def seen(self) -> VoteMap:
        """The votes themselves."""
        letters = np.array([[list(row) for row in network] for network in self.called])
        called = np.select([letters == name for name in CLASSES], list(PatchClass))
        return VoteMap(self.grid, called.astype(np.uint8))

    def is_of(self, film_sha256: str, model_sha256: str, grid: Grid) -> bool:
        """Whether the same model saw the same windows of the same film."""
        ours = self.film_sha256, self.model_sha256, self.grid
        return ours == (film_sha256, model_sha256, grid)


def record_of(
    name: str, film_sha256: str, model_sha256: str, seen: VoteMap, threshold: float
) -> VoteRecord:
    """A film's record."""
    votes, letters = seen.votes, np.array(CLASSES)[seen.called]
    return VoteRecord(
        film=name,
        film_sha256=film_sha256,
        model_sha256=model_sha256,
        verdict=votes.verdict_at(threshold),
        ratio=None if votes.indeterminate else votes.ratio,
        threshold=threshold,
        rows=seen.grid.rows,
        columns=seen.grid.columns,
        patch=seen.grid.patch,
        stride=seen.grid.stride,
        called=tuple(tuple("".join(row) for row in network) for network in letters),
    )


def read_record(out: Path, name: str) -> VoteRecord | None:
    """The record of a film that was classified before; None where there is none that can be read.

    Only a film whose picture is there too counts: it is written first.
    """
    try:
        record = VoteRecord.model_validate_json(read_plain(_record(out, name), MAX_RECORD))
    except (OSError, ValidationError):
        return None
    return record if _picture(out, name).exists() else None


def begin(out: Path) -> None:
    """Make the folder, and remove the table of an earlier run: with it the folder looks whole."""
    make_folder(out)
    (out / TABLE).unlink(missing_ok=True)


def write_film(out: Path, film: Film, record: VoteRecord, path: Path, now: datetime) -> None:
    """Write a film's picture, then its record.

    Args:
        out: the map folder.
        film, record: what is drawn.
        path: the film's file.
        now: when; a capture says so.
    """
    picture, stream = draw_map(film, record.seen, record.threshold), io.BytesIO()
    picture.save(stream, "PNG")
    make_folder(_picture(out, record.film).parent)
    write_bytes(_picture(out, record.film), stream.getvalue())
    if is_dicom(path):
        from gdshare.report.vote_capture import capture  # noqa: PLC0415 - loads highdicom, a second

        try:
            content = capture(path, picture, record, now)
        except FilmError as error:
            log.warning("%s", error)
        else:
            write_bytes(out / f"{record.film}.votes.dcm", content)
    write_json(_record(out, record.film), record.model_dump(mode="json"))


def write_table(out: Path, records: Sequence[VoteRecord]) -> Path:
    """Write the table of all films; its path."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for own in records:
        votes = own.seen.votes
        writer.writerow(
            [own.film, own.verdict, own.ratio, own.threshold, votes.i, votes.n, votes.p]
        )
    write_bytes(out / TABLE, text.getvalue().encode())
    return out / TABLE


def _picture(out: Path, name: str) -> Path:
    return out / f"{name}.votes.png"


def _record(out: Path, name: str) -> Path:
    return out / f"{name}.votes.json"
