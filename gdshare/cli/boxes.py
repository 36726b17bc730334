"""Boxes on a film, as typed on the command line."""

from gdshare.errors import UsageError
from gdshare.films.box import Box


def parse_box(text: str, option: str) -> Box:
    """Parse ``left,top,right,bottom``, px.

    Raises:
        UsageError: not four integers, or an empty box.
    """
    try:
        left, top, right, bottom = (int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(
            "not a box",
            f"{option} {text}",
            "give four whole numbers separated by commas: left,top,right,bottom",
        ) from error
    if left < 0 or top < 0 or right <= left or bottom <= top:
        raise UsageError(
            "encloses nothing",
            f"{option} {text}",
            "give left,top,right,bottom, px from the upper left corner",
        )
    return Box(left, top, right, bottom)
