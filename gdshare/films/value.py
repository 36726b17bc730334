"""A film, independent of the file format it was read from."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Film:
    """A gray-scale X-ray; larger pixel values are brighter.

    Attributes:
        pixels: uint8 or uint16 [height, width]; the full range of the type stands for [0, 1].
        name: the film's path, for messages.
        spacing: distance between pixel centres (down, across), mm; None if unknown.
    """

    pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    name: str
    spacing: tuple[float, float] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""
        height, width = self.pixels.shape
        return height, width

    def scaled(self) -> npt.NDArray[np.float32]:
        """The film as float32 [height, width] in [0, 1], scaled by its bit depth."""
        return np.divide(self.pixels, np.iinfo(self.pixels.dtype).max, dtype=np.float32)
