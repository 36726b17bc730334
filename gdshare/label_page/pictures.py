"""A film's pixels for the page, which applies brightness and contrast itself."""

import math
from dataclasses import dataclass

import numpy as np

from gdshare.films import Film

OUTLINING_PIXELS = 4096 * 4096
"""For outlining; larger films are downsampled, which does not move outlines."""
REVIEW_PIXELS = 64_000_000
"""For review, where small text matters; the page warns if a film is larger. A browser needs about
10 bytes per pixel."""


@dataclass(frozen=True)
class Picture:
    """Pixels as sent to the page.

    Attributes:
        width, height: px of the picture.
        data: uint16 little-endian, row by row; larger values are brighter.
    """

    width: int
    height: int
    data: bytes


def make_picture(film: Film, max_pixels: int) -> Picture:
    """Downsample a film to at most ``max_pixels``, by averaging over squares."""
    pixels = np.asarray(film.pixels)
    if pixels.dtype == np.uint8:
        pixels = pixels.astype(np.uint16) * np.uint16(257)
    height, width = film.shape
    side = math.ceil(math.sqrt(height * width / max_pixels))
    if side > 1:
        # Squares at the right and lower edge may be smaller.
        down, across = (np.arange(0, length, side) for length in (height, width))
        sums = np.add.reduceat(pixels, down, axis=0, dtype=np.uint32)
        sums = np.add.reduceat(sums, across, axis=1, dtype=np.uint32)
        areas = np.outer(np.diff(down, append=height), np.diff(across, append=width))
        pixels = (sums // areas).astype(np.uint16)
    return Picture(pixels.shape[1], pixels.shape[0], pixels.astype("<u2").tobytes())
