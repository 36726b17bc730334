"""What people see of work that takes more than two seconds: a bar on a terminal, lines in a pipe.

::

    with progress("labelling films") as report:
        for number, film in enumerate(films, start=1):
            ...
            report(number, len(films))

Lines go through the log, and so into a log file too. The first comes after two seconds; they grow
rarer the longer it takes, but one comes at least every half minute, even if nothing is reported::

    labelling films: 40 of 226, 0:11, about 0:51 left
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from gdshare.escaping import escaped

FIRST_S = 2.0
"""Work that takes less is done before anybody wonders."""
SELDOM_S = 30.0
"""The longest silence."""
MANY, SLOW_S = 10, 10.0
"""So many items are worth a line, or fewer that took so long."""
LINES_AN_AGE = 20
"""The silence between lines is at least this fraction of the time it has taken."""

log = logging.getLogger(__name__)


class Report(Protocol):
    """Called with what is done, of how much, and figures for people."""

    def __call__(self, done: int, total: int, detail: str = "") -> None:
        """Show it."""


class Lines:
    """Lines about one piece of work; any thread may report."""

    def __init__(
        self,
        description: str,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin now."""
        self._description, self._say, self._clock = description, say, clock
        self._lock = Lock()
        self._began = self._part_began = self._reported = self._said = clock()
        self._done, self._said_done, self._total, self._detail = 0, 0, 0, ""
        self._spoke = False

    def report(self, done: int, total: int, detail: str = "") -> None:
        """Take note, and say it if a line is due; less done than before: another part begins."""
        with self._lock:
            now = self._clock()
            if done < self._done:
                self._part_began, self._said_done = self._reported, 0
            self._reported, self._done, self._total, self._detail = now, done, total, detail
            enough = done - self._said_done >= MANY
            gap = self._gap(now) if enough else max(self._gap(now), SLOW_S)
            if done < total and now - self._said >= gap:  # the last is said by ``end``
                self._say_line(now)

    def beat(self) -> None:
        """Say where it stands if there was silence for long."""
        with self._lock:
            if self._clock() - self._said >= SELDOM_S:
                self._say_line(self._clock())

    def end(self) -> None:
        """Say that it is done, if anything was said before."""
        with self._lock:
            if self._spoke:
                count = f"{self._done} of {self._total}, " if self._total else ""
                taken = _clock_time(self._clock() - self._began)
                self._say(f"{self._description}: {count}done after {taken}")

    def _gap(self, now: float) -> float:
        return min(SELDOM_S, max(FIRST_S, (now - self._began) / LINES_AN_AGE))

    def _say_line(self, now: float) -> None:
        taken = now - self._began
        parts = [f"{self._done} of {self._total}"] if self._total else []
        parts.append(_clock_time(taken) if self._total else f"for {_clock_time(taken)} now")
        if 0 < self._done < self._total:
            left = (now - self._part_began) * (self._total - self._done) / self._done
            parts.append(f"about {_clock_time(left)} left")
        if self._detail:
            parts.append(self._detail)
        self._said, self._said_done, self._spoke = now, self._done, True
        self._say(f"{self._description}: {', '.join(parts)}")


@contextmanager
def lines(description: str, say: Callable[[str], None] = log.info) -> Iterator[Report]:
    """Say lines inside the block; yields a function to call with (done, total).

    Args:
        description: of the work, such as ``labelling films``.
        say: takes a line.
    """
    speaker, over = Lines(description, say), Event()

    def watch() -> None:
        while not over.wait(FIRST_S):
            speaker.beat()

    watcher = Thread(target=watch, name="progress", daemon=True)
    watcher.start()
    try:
        yield speaker.report
        speaker.end()
    finally:
        over.set()
        watcher.join()


@contextmanager
def progress(description: str, hidden: bool = False) -> Iterator[Report]:
    """Show a bar inside the block, or lines where stderr is no terminal.

    Args:
        description: of the work, such as ``labelling films``.
        hidden: show nothing at all.
    """
    if hidden:
        yield lambda done, total, detail="": None
    elif not Console(stderr=True).is_terminal:
        with lines(description) as report:
            yield report
    else:
        with bar() as shown:
            task = shown.add_task(escaped(description), total=None, detail="")

            def update(done: int, total: int, detail: str = "") -> None:
                if done < shown.tasks[task].completed:  # another part begins
                    shown.reset(task)
                shown.update(task, completed=done, total=total, detail=escaped(detail))

            yield update


def bar() -> Progress:
    """A bar on stderr, for tasks with a field ``detail``; shown only on a terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}"),
        console=console,
        disable=not console.is_terminal,
    )


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
