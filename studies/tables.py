"""Figures and their tables: printed for people, and with the figures behind them for JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from gdshare.metrics import percentile_interval
from studies.runner import Cell, Result

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Value:
    """An entry of a table: how it is printed, and the figures that it stands for."""

    text: str
    data: JsonValue


Row = Sequence[str | Value]


@dataclass(frozen=True)
class Table:
    """A titled table in columns, the first to the left and the others to the right."""

    title: str
    head: Sequence[str]
    rows: Sequence[Row]

    def __str__(self) -> str:
        lines = [self.head, *self._texts]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = [self.title]
        for first, *others in lines:
            right = [word.rjust(width) for word, width in zip(others, widths[1:], strict=True)]
            text.append("  ".join([first.ljust(widths[0]), *right]).rstrip())
        return "\n".join(text)

    @property
    def _texts(self) -> list[list[str]]:
        return [[e if isinstance(e, str) else e.text for e in row] for row in self.rows]

    def markdown(self) -> str:
        """For a page, without its title."""
        lines = [self.head, ["---"] * len(self.head), *self._texts]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def as_data(self) -> dict[str, JsonValue]:
        rows: list[JsonValue] = [
            [entry if isinstance(entry, str) else entry.data for entry in row] for row in self.rows
        ]
        return {"title": self.title, "columns": list(self.head), "rows": rows}


def number(value: float | None) -> Value:
    """Three digits, or a dash for what does not exist."""
    return Value("-", None) if value is None or isnan(value) else Value(f"{value:.3f}", value)


@dataclass(frozen=True)
class Difference:
    """One figure minus another, with the ends of its 95% interval; NaN where a figure is."""

    value: float
    low: float
    high: float

    def shown(self, digits: int = 3, mark: str = "") -> Value:
        """For a table; with ``mark``, that stands behind if the interval leaves out 0."""
        if isnan(self.value):
            return Value("-", None)
        form = f"+.{digits}f"
        outside = mark if self.low > 0 or self.high < 0 else " " * len(mark)
        text = f"{self.value:{form}} [{self.low:{form}}, {self.high:{form}}]{outside}"
        return Value(text, [self.value, self.low, self.high])


def costs(title: str, cells: Sequence[Cell], results: Mapping[str, Result], each: bool) -> Table:
    """CPU-seconds of the cells done: by kind; with ``each``, of each over all folds; of all."""
    rows: dict[str, float] = {}
    done = [(cell, results[cell.name].cpu_seconds) for cell in cells if cell.name in results]
    for cell, seconds in done:
        rows[cell.kind] = rows.get(cell.kind, 0.0) + seconds
    for cell, seconds in done if each else ():
        name = f"  {cell.name.rpartition('/')[2]}"
        rows[name] = rows.get(name, 0.0) + seconds
    total = sum(seconds for _, seconds in done)
    entries = [(name, Value(f"{seconds:.0f}", seconds)) for name, seconds in rows.items()]
    entries.append(("all", Value(f"{total:.0f} ({total / 3600:.1f} h)", total)))
    return Table(title, ("piece", "seconds"), entries)


def mean(values: Sequence[float]) -> float:
    """Their mean; NaN when one of them is."""
    return float(np.mean(values))


def deviation(values: Sequence[float]) -> float | None:
    """Their sample standard deviation; None of a single one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def interval(resampled: Float) -> tuple[float, float]:
    """The 95% percentile interval of a figure on every resample; NaN where the figure is."""
    ends = percentile_interval(resampled)
    return ends.low, ends.high


def with_interval(value: float, resampled: Float) -> Value:
    """A figure with its 95% interval."""
    low, high = interval(resampled)
    return Value(f"{value:.3f} [{low:.3f}, {high:.3f}]", [value, low, high])


def resamples(
    strata: npt.NDArray[np.int64],
    units: npt.NDArray[np.int64],
    generator: np.random.Generator,
    count: int,
) -> Float:
    """How often each item occurs in each resample: float64 [count, items].

    Within each stratum as many units (patients of films, say) are drawn, with replacement, as there
    are; a unit brings all its items along. ``strata`` and ``units`` are int64 [items]; equal units
    of two strata are two.
    """
    drawn = np.zeros((count, len(strata)))
    for stratum in np.unique(strata):
        own = np.flatnonzero(strata == stratum)
        members, owner = np.unique(units[own], return_inverse=True)
        share = np.full(len(members), 1.0 / len(members))
        drawn[:, own] = generator.multinomial(len(members), share, size=count)[:, owner]
    return drawn
