"""One table mechanism: what is printed for people, and the figures behind it for JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan

from pydantic import JsonValue

from studies.intervals import Ends
from studies.runner import Cell, Result


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
        """For people."""
        lines = [self.head, *([_text(entry) for entry in row] for row in self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.head))]
        return "\n".join([self.title, *(_line(line, widths) for line in lines)])

    def markdown(self) -> str:
        """For a page, without its title."""
        rule = ["---"] * len(self.head)
        lines = [self.head, rule, *([_text(entry) for entry in row] for row in self.rows)]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def as_data(self) -> dict[str, JsonValue]:
        """For JSON."""
        rows: list[JsonValue] = [
            [entry if isinstance(entry, str) else entry.data for entry in row] for row in self.rows
        ]
        return {"title": self.title, "columns": list(self.head), "rows": rows}


def number(value: float | None) -> Value:
    """Three digits, or a dash for what does not exist."""
    return Value("-", None) if value is None or isnan(value) else Value(f"{value:.3f}", value)


def difference(value: float, ends: Ends, digits: int = 3, mark: str = "") -> Value:
    """A difference and its interval; with ``mark``, that stands behind if 0 is left out."""
    low, high = ends
    if isnan(value):
        return Value("-", None)
    sign = f"+.{digits}f"
    outside = mark if low > 0 or high < 0 else " " * len(mark)
    text = f"{value:{sign}} [{low:{sign}}, {high:{sign}}]{outside}"
    return Value(text, {"value": value, "interval": [low, high]})


def costs(title: str, cells: Sequence[Cell], results: Mapping[str, Result], each: bool) -> Table:
    """CPU-seconds of the cells that are done: by kind; with ``each``, then one by one, over all
    folds; then of all.
    """
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


def _text(entry: str | Value) -> str:
    return entry if isinstance(entry, str) else entry.text


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    words = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return "  ".join(words).rstrip()
