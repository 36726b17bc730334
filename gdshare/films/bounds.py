"""The size of films and of their pixels: limits that are checked before anything is decoded."""

from pathlib import Path

from gdshare.errors import FilmError

MAX_PIXELS = 120_000_000
"""Pixels of the largest film: 35 x 43 cm at 50 µm has 60 million, a decompression bomb billions."""

MIN_PIXEL_MM, MAX_PIXEL_MM = 0.01, 10.0
"""Side of a pixel, mm. A value outside this range was never measured (real files say 0.000)."""
MAX_ASPECT = 1.01
"""Largest ratio of the sides of a pixel that counts as square."""


def require_pixels(path: Path, rows: int, columns: int) -> None:
    """Refuse a film of more than ``MAX_PIXELS``.

    Raises:
        FilmError: it is larger.
    """
    if rows * columns > MAX_PIXELS:
        raise too_large(path)


def too_large(path: Path) -> FilmError:
    """The error for a film of more than ``MAX_PIXELS``."""
    return FilmError(
        f"is larger than any film ({MAX_PIXELS:,} px at most)", path, "check the export"
    )


def is_square(spacing: tuple[float, float]) -> bool:
    """Whether pixels of this spacing (down, across), mm, are square to within ``MAX_ASPECT``."""
    down, across = spacing
    return 1 / MAX_ASPECT <= down / across <= MAX_ASPECT
