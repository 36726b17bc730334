"""Pictures of the studies: text stays text, and equal figures give equal bytes."""

import io
from collections.abc import Callable

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

GRID = "#dddddd"


def as_svg(
    inches: tuple[float, float],
    paint: Callable[[Axes], None],
    xscale: str = "log",
    xlabel: str = "",
    ylabel: str = "AUC",
) -> str:
    """An SVG of this width and height, which ``paint`` fills."""
    with mpl.rc_context({"svg.hashsalt": "gdshare", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=inches, layout="constrained")
        axes = figure.add_subplot(xscale=xscale, xlabel=xlabel, ylabel=ylabel)
        axes.grid(color=GRID)
        paint(axes)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
