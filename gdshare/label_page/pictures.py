"""A film's pixels for the page, which windows them itself: a drag of the mouse asks nobody."""

import math
from dataclasses import dataclass

import numpy as np

from gdshare.films import Film

OUTLINING_PIXELS = 4096 * 4096
"""Shown of a film that is outlined; a larger one is shown reduced, which changes nothing of where
an outline lies on it."""
REVIEW_PIXELS = 64_000_000
"""Shown of a film that is reviewed, where small letters matter; the page tells of a larger one. A
browser takes about 10 bytes for each."""


@dataclass(frozen=True)
class Picture:
    """Pixels as they travel.

    Attributes:
        width, height: px of the picture.
        data: 16 bit a pixel, little-endian, row by row, bright where the value is large.
    """

    width: int
    height: int
    data: bytes


def picture(film: Film, most: int) -> Picture:
    """Take a film's pixels, averaged over squares where there are more than ``most``."""
    pixels = np.asarray(film.pixels)
    if pixels.dtype == np.uint8:
        pixels = pixels.astype(np.uint16) * np.uint16(257)
    height, width = film.shape
    side = math.ceil(math.sqrt(height * width / most))
    if side > 1:
        # What is left over at the right and lower edge, less than a square, is squeezed in.
        down, across = (np.arange(0, length, side) for length in (height, width))
        sums = np.add.reduceat(pixels, down, axis=0, dtype=np.uint32)
        sums = np.add.reduceat(sums, across, axis=1, dtype=np.uint32)
        areas = np.outer(np.diff(down, append=height), np.diff(across, append=width))
        pixels = (sums // areas).astype(np.uint16)
    return Picture(pixels.shape[1], pixels.shape[0], pixels.astype("<u2").tobytes())
