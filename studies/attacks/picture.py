"""The picture: what each attack found on each bundle, beside what it found on its control."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.typing import ColorType

from gdshare.audit.figures import Result
from studies.pictures import as_svg

ROW, WIDTH = 0.75, 10.0
"""Height of an attack's row, and width, inches."""
XLABEL = "what the attack found, 95% interval; marks: where nothing is known (gray: of the control)"
SPREAD = 0.8
"""Of a row, for its bundles."""


@dataclass(frozen=True)
class Attacked:
    """A bundle and what was found.

    Attributes:
        title: in the legend.
        results: by attack.
    """

    title: str
    results: dict[str, Result]


def draw(bundles: Sequence[Attacked], names: Sequence[str]) -> str:
    """An SVG with a row for each attack.

    A full marker is the bundle with its 95% interval, an empty one the control; a line across the
    row stands where nothing is known. An attack whose control did not fire has no full marker.

    Args:
        bundles: in the legend's order.
        names: of the attacks, from the top.
    """
    colours = [mpl.colormaps["tab10"](number) for number in range(10)]

    def paint(axes: Axes) -> None:
        for row, name in enumerate(names):
            for place, bundle in enumerate(bundles):
                if name in bundle.results:
                    at = row + SPREAD * ((place + 0.5) / len(bundles) - 0.5)
                    _paint_result(axes, at, bundle.results[name], colours[place % len(colours)])
        for place, bundle in enumerate(bundles):
            axes.plot([], [], "o", color=colours[place % len(colours)], label=bundle.title)
        axes.plot([], [], "o", color="gray", markerfacecolor="white", label="its control")
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(-0.02, 1.02)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)

    height = ROW * max(1, len(names)) + 0.5
    return as_svg((WIDTH, height), paint, xscale="linear", xlabel=XLABEL, ylabel="")


def _paint_result(axes: Axes, at: float, result: Result, colour: ColorType) -> None:
    attack = result.counted if result.counts else result.attack
    control = result.control
    axes.plot([attack.unrelated], [at], "|", color="black", markersize=7)
    axes.plot([control.unrelated], [at], "|", color="darkgray", markersize=7)
    axes.plot([control.low, control.high], [at, at], color=colour, linewidth=0.5)
    axes.plot([control.figure], [at], "o", color=colour, markerfacecolor="white", markersize=4)
    if result.counts:
        axes.plot([attack.low, attack.high], [at, at], color=colour, linewidth=2)
        axes.plot([attack.figure], [at], "o", color=colour, markersize=4)
