"""Boxes on a film, as they are typed."""

from gdshare.errors import UsageError
from gdshare.films.box import Box


def parse_box(text: str, option: str) -> Box:
    """Read ``left,top,right,bottom``, px.

    Raises:
        UsageError: not four whole numbers, or no area.
    """
    try:
        left, top, right, bottom = (int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(
            f"{option} {text}: give four whole numbers with commas between: left,top,right,bottom"
        ) from error
    if left < 0 or top < 0 or right <= left or bottom <= top:
        raise UsageError(
            f"{option} {text}: encloses nothing",
            remedy="give left,top,right,bottom from the upper left corner",
        )
    return Box(left, top, right, bottom)
