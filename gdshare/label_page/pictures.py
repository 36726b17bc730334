"""A film's pixels for the page, which applies brightness and contrast itself; and thumbnails."""

import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from gdshare.films import Film

OUTLINING_PIXELS = 4096 * 4096
"""For outlining; larger films are downsampled, which does not move outlines."""
REVIEW_PIXELS = 64_000_000
"""For review, where small text matters; the page warns if a film is larger. A browser needs about
10 bytes per pixel."""

THUMBNAIL_PIXELS = 96 * 96


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


def make_thumbnail(film: Film) -> bytes:
    """A small PNG, from its 1st to its 99th percentile; black, such as a border, is not counted."""
    small = make_picture(film, THUMBNAIL_PIXELS)
    pixels = np.frombuffer(small.data, "<u2").reshape(small.height, small.width).astype(np.float32)
    low, high = np.percentile(pixels[pixels > 0], (1, 99)) if pixels.any() else (0, 1)
    gray = ((pixels - low) * (255 / max(1, high - low))).clip(0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(gray).save(stream, "PNG")
    return stream.getvalue()
