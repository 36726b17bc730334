"""The picture of the rivals: AUC against the bytes that a hospital sends."""

import re
from collections.abc import Sequence
from itertools import groupby

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator
from matplotlib.typing import ColorType

from studies.pictures import as_svg
from studies.rivals.report import Line

NETWORK = re.compile(r"(,| on) (scattering|ConvNet)")
INCHES = (11.0, 6.5)
OURS = "distilled images"
COUNTED = re.compile(r"^(\d+) |, (\d+) rounds?$")
"""How many images are sent, or in how many rounds: what tells the points of a family apart."""


def draw(lines: Sequence[Line]) -> str:
    """An SVG with a logarithmic axis of bytes.

    Rows that differ only by the number of images or of rounds are a curve. A full marker is a
    network on scattering. Who sends nothing is a dashed line across.
    """
    kinds = list(dict.fromkeys(_kind(line) for line in lines))

    def paint(axes: Axes) -> None:
        axes.set_xlabel("bytes that a hospital sends; numbers: images or rounds")
        axes.yaxis.set_major_locator(MultipleLocator(0.05))
        for name, own in groupby(sorted(lines, key=_family), key=_family):
            curve = sorted(own, key=lambda line: line.row.sends)
            colour = mpl.colormaps["tab20"](kinds.index(_kind(curve[0])) % 20)
            _curve(axes, name, curve, "black" if OURS in name else colour)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)

    return as_svg(INCHES, paint)


def _family(line: Line) -> str:
    return COUNTED.sub("", line.row.title)


def _kind(line: Line) -> str:
    """The family, whatever its network: they share a colour."""
    return NETWORK.sub("", _family(line))


def _curve(axes: Axes, name: str, lines: Sequence[Line], colour: ColorType) -> None:
    aucs = [line.figures.auc for line in lines]
    if not all(line.row.sends for line in lines):
        for auc in aucs:
            axes.axhline(auc, color=colour, linestyle="--", linewidth=1, label=name)
        return
    sends, scattering = [line.row.sends for line in lines], lines[0].row.network == "scattering"
    (curve,) = axes.plot(sends, aucs, "o-", color=colour, linewidth=1 + (OURS in name), label=name)
    curve.set_markerfacecolor(colour if scattering else "white")
    for line, x, y in zip(lines, sends, aucs, strict=True):
        if counted := COUNTED.search(line.row.title):
            axes.annotate(counted[1] or counted[2], (x, y), (4, 4), textcoords="offset points")
