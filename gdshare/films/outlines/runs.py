"""Run-length encoded masks, as COCO and CVAT write them.

Runs of pixels outside and inside alternate, beginning outside. COCO's runs go down the columns,
CVAT's along the rows. COCO's compact text encodes each run length as its signed difference to the
last but one, in groups of five bits, the lowest first. A sixth bit says whether another group
follows, and each group is shifted to a printable character.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from gdshare.errors import FilmError
from gdshare.films.outlines.annotation_set import PlacedMask

MAX_CHARACTERS = 20_000_000
"""Of one mask: enough for a noisy mask of 60 million px; decoding them takes 1 GB."""

_FIRST_CHARACTER, _LAST_CHARACTER = 48, 48 + 0b111111
_MORE, _SIGN, _GROUP = 0b100000, 0b010000, 5
_MOST_GROUPS = 8
"""Of one run: 40 bits hold any difference of two run lengths on a film."""


@dataclass(frozen=True)
class Runs:
    """A mask in run lengths, decoded only when painted.

    Attributes:
        lengths: int64 [n], px, each at least 0; their sum is height x width.
        top: row of its first pixel on the film.
        left: column of its first pixel on the film.
        height: px.
        width: px.
        down: the runs go down the columns (COCO), not along the rows (CVAT).
    """

    lengths: npt.NDArray[np.int64]
    top: int
    left: int
    height: int
    width: int
    down: bool

    def __post_init__(self) -> None:
        """Check that the lengths fill height x width exactly.

        Raises:
            FilmError: they do not; the error names no file.
        """
        # Each length is bounded first, so that the sum cannot overflow.
        bounded = ((self.lengths >= 0) & (self.lengths <= self.area)).all()
        if not bounded or int(self.lengths.sum()) != self.area:
            raise FilmError(
                f"run lengths do not fill their {self.width} x {self.height} px",
                remedy="export it again",
            )

    @property
    def area(self) -> int:
        """See ``Raster``."""
        return self.height * self.width

    def paint(self, mask: npt.NDArray[np.bool_]) -> None:
        """See ``Raster``."""
        flat = np.repeat(np.arange(len(self.lengths)) % 2 == 1, self.lengths)
        order: Literal["F", "C"] = "F" if self.down else "C"
        inside = flat.reshape((self.height, self.width), order=order)
        PlacedMask(self.top, self.left, inside).paint(mask)


def decode_compact(text: str) -> npt.NDArray[np.int64]:
    """Decode COCO's compact text.

    Returns:
        run lengths, int64 [n], px; not yet checked against the size of a mask.

    Raises:
        FilmError: an invalid character, an overlong run, or an end within a run; the error names no
            file.
    """
    if len(text) > MAX_CHARACTERS:
        raise FilmError(
            "compact run lengths are too long for any film", remedy="export a mask instead"
        )
    characters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.int64)
    if ((characters < _FIRST_CHARACTER) | (characters > _LAST_CHARACTER)).any():
        raise FilmError("compact run lengths have an invalid character", remedy="export it again")
    groups = characters - _FIRST_CHARACTER
    ends = np.flatnonzero(groups & _MORE == 0)
    if len(groups) and (not len(ends) or ends[-1] != len(groups) - 1):
        raise FilmError("compact run lengths end within a run", remedy="export it again")
    starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)[: len(ends)]
    counts = ends - starts + 1
    if (counts > _MOST_GROUPS).any():
        raise FilmError("a run is longer than any film", remedy="export it again")
    place = np.arange(len(groups)) - np.repeat(starts, counts)
    values = np.add.reduceat((groups & 0b11111) << (_GROUP * place), starts) if len(ends) else ends
    lengths = values - np.where(groups[ends] & _SIGN, 1 << (_GROUP * counts), 0)
    # The first three are lengths; from the fourth on, each is a difference to the last but one.
    lengths[1::2] = np.cumsum(lengths[1::2])
    lengths[2::2] = np.cumsum(lengths[2::2])
    return np.asarray(lengths, dtype=np.int64)
