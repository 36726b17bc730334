"""How large a film may be: checked before anything is decoded."""

from pathlib import Path

from gdshare.errors import FilmError

MAX_PIXELS = 120_000_000
"""The largest film read, px: a 35 x 43 cm film at 50 µm has 60 million, a bomb has billions."""

SMALLEST_MM, LARGEST_MM = 0.01, 10.0
"""Side of a pixel; what lies beyond was never measured on a film (real files say 0.000)."""
SQUARE = 1.01
"""Sides of a pixel that differ by more than this ratio make it oblong."""


def require_pixels(path: Path, rows: int, columns: int) -> None:
    """Refuse a film of absurd size.

    Raises:
        FilmError: more than ``MAX_PIXELS``.
    """
    if rows * columns > MAX_PIXELS:
        raise FilmError(too_large(path))


def too_large(path: Path) -> str:
    """What to say of such a film."""
    return f"{path}: its size is beyond any film ({MAX_PIXELS:,} px at most); check the export"
