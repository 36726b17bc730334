"""Pictures of a page: SVGs that take the page's colour of text, light or dark.

Equal figures give equal bytes.
"""

import io
import re
from collections.abc import Callable

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#010203"
"""Drawn in this colour, which nothing else has, and written as the page's own."""
BLUE, ORANGE, GREEN, GRAY = "#0072b2", "#d55e00", "#009e73", "#7f7f7f"
"""Apart for every kind of colour blindness, on white and on black (Okabe and Ito)."""

_LONE_ID = re.compile(r'<g id="[^"]*">')
_HEAD = re.compile(r"^.*?(?=<svg)", re.DOTALL)


def as_svg(name: str, inches: tuple[float, float], paint: Callable[[Axes], None]) -> str:
    """An SVG element for a page.

    Args:
        name: of the picture on its page; keeps its ids apart from those of others.
        inches: width and height.
        paint: draws into the axes.
    """
    with mpl.rc_context(
        {
            "svg.hashsalt": name,
            "svg.fonttype": "none",
            "font.family": "sans-serif",
            "font.size": 10,
            "text.parse_math": False,
            "text.color": INK,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    ):
        figure = Figure(figsize=inches, layout="constrained")
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        axes.grid(color=GRAY, alpha=0.3)
        paint(axes)
        stream = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(stream, format="svg", metadata=nothing)
    drawn = _HEAD.sub("", stream.getvalue()).replace(INK, "currentColor")
    return _LONE_ID.sub("<g>", drawn)
