"""The picture of the gain: AUC by the number of own training patients, with intervals."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import ScalarFormatter

from studies.gain.trainings import ALONE, MIX, OTHERS, START
from studies.pictures import as_svg
from studies.quality.figures import Resampled
from studies.tables import interval

INCHES = (8.0, 4.5)
COLOURS = {ALONE: "#555555", START: "#0072b2", MIX: "#d55e00"}
"""Of each way of training (Okabe and Ito)."""


def draw(figures: Mapping[str, Resampled], patients: Sequence[int]) -> str:
    """An SVG.

    Args:
        figures: contender -> its figures, the means of the hospitals.
        patients: the numbers of own training patients.
    """

    def paint(axes: Axes) -> None:
        axes.set_xlabel("own training patients")
        axes.set_xticks(patients, minor=False)
        axes.set_xticks([], minor=True)
        axes.xaxis.set_major_formatter(ScalarFormatter())
        for way, colour in COLOURS.items():
            curve = [figures[f"{way}/{count}"] for count in patients]
            lows, highs = zip(*(interval(own.aucs) for own in curve), strict=True)
            axes.plot(patients, [own.auc for own in curve], "o-", color=colour, label=way)
            axes.fill_between(patients, lows, highs, color=colour, alpha=0.12, linewidth=0)
        axes.axhline(figures[OTHERS].auc, color="black", linestyle="--", label=OTHERS)
        axes.legend(loc="lower right", frameon=False, title="bands: 95%")

    return as_svg(INCHES, paint)
