"""Run-length encoded masks, as COCO and CVAT write them.

The runs are of pixels outside and inside by turns, beginning outside. COCO goes down the columns,
CVAT along the rows. COCO's compact text writes each run as the difference to the last but one, in
signed groups of five bits, the least first, a bit more saying whether another group follows, each
shifted to a printable character.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from gdshare.errors import FilmError
from gdshare.films.outlines.annotation_set import Stamp

MAX_CHARACTERS = 20_000_000
"""Of one mask: a noisy one of 60 million pixels; decoding them takes 1 GB."""

_FIRST_CHARACTER, _LAST_CHARACTER = 48, 48 + 0b111111
_MORE, _SIGN, _GROUP = 0b100000, 0b010000, 5
_MOST_GROUPS = 8
"""Of one run: 40 bits hold any difference of lengths on a film."""


@dataclass(frozen=True)
class Runs:
    """A mask in run lengths, spelled out only when it is painted.

    Attributes:
        lengths: int64 [n], px, at least 0, their sum height x width.
        top: row of its first pixel on the film.
        left: column of its first pixel on the film.
        height: px.
        width: px.
        down: whether the runs go down the columns, as COCO's do, or along the rows.
    """

    lengths: npt.NDArray[np.int64]
    top: int
    left: int
    height: int
    width: int
    down: bool

    def __post_init__(self) -> None:
        """Refuse lengths that do not fill the box exactly.

        Raises:
            FilmError: the message does not name the file.
        """
        # Each is bounded first, so that the sum cannot overflow.
        fitting = ((self.lengths >= 0) & (self.lengths <= self.area)).all()
        if not fitting or int(self.lengths.sum()) != self.area:
            raise FilmError(
                f"run lengths do not fill their {self.width} x {self.height} px",
                remedy="export it again",
            )

    @property
    def area(self) -> int:
        """See ``Raster``."""
        return self.height * self.width

    def paint(self, mask: npt.NDArray[np.bool_]) -> None:
        """Set true, in bool [height, width] of the film, what is inside."""
        inside = np.repeat(np.arange(len(self.lengths)) % 2 == 1, self.lengths)
        order: Literal["F", "C"] = "F" if self.down else "C"
        shaped = inside.reshape((self.height, self.width), order=order)
        Stamp(self.top, self.left, shaped).paint(mask)


def compact_lengths(text: str) -> npt.NDArray[np.int64]:
    """Read COCO's compact text of run lengths: int64 [n], px; not yet checked against a size.

    Raises:
        FilmError: a character that cannot occur, a run of absurd length, or an end amid a run; the
            message does not name the file.
    """
    if len(text) > MAX_CHARACTERS:
        raise FilmError("compact run lengths go on beyond any film", remedy="export a mask instead")
    characters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.int64)
    if ((characters < _FIRST_CHARACTER) | (characters > _LAST_CHARACTER)).any():
        raise FilmError(
            "compact run lengths hold a character of no meaning", remedy="export it again"
        )
    groups = characters - _FIRST_CHARACTER
    ends = np.flatnonzero(groups & _MORE == 0)
    if len(groups) and (not len(ends) or ends[-1] != len(groups) - 1):
        raise FilmError("compact run lengths end amid a run", remedy="export it again")
    begins = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)[: len(ends)]
    counts = ends - begins + 1
    if (counts > _MOST_GROUPS).any():
        raise FilmError("a run is longer than any film", remedy="export it again")
    place = np.arange(len(groups)) - np.repeat(begins, counts)
    values = np.add.reduceat((groups & 0b11111) << (_GROUP * place), begins) if len(ends) else ends
    lengths = values - np.where(groups[ends] & _SIGN, 1 << (_GROUP * counts), 0)
    # The first three runs stand for themselves; each later one is added to the last but one.
    lengths[1::2] = np.cumsum(lengths[1::2])
    lengths[2::2] = np.cumsum(lengths[2::2])
    return np.asarray(lengths, dtype=np.int64)
