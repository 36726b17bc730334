"""What the node is doing, as the process that answers reports it and the aggregator may ask."""

import threading
import time
from collections.abc import Callable
from typing import Final

from gdshare.messages import Doing, Progress

Report = Callable[[Doing, int, int], None]
"""Called with what is being done, how much of it is, and of how much (0: not known)."""

ALL_AT_ONCE: Final = 2**40
"""More than there is of anything; what a process claims is cut to it."""


def say_nothing(doing: Doing, done: int, of: int) -> None:
    """A ``Report`` that nobody reads."""


class Activity:
    """One question at a time; any thread may report or ask."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Idle since now."""
        self._clock = clock
        self._lock = threading.Lock()
        self._began, self._now = clock(), Progress()

    def begin(self, question: str) -> None:
        """A question, by its message's id, is being fetched."""
        with self._lock:
            self._began, self._now = self._clock(), Progress("fetching", question=question)

    def report(self, doing: Doing, done: int, of: int) -> None:
        """How far it is; a ``Report``."""
        of = min(max(0, of), ALL_AT_ONCE)
        done = min(max(0, done), of or ALL_AT_ONCE)
        with self._lock:
            if self._now.doing != "idle":
                self._now = Progress(doing, done, of, self._now.question)

    def end(self) -> None:
        """Nothing is being answered."""
        with self._lock:
            self._began, self._now = self._clock(), Progress()

    def progress(self, waiting: int) -> Progress:
        """What may be told; ``waiting`` questions are in the queue."""
        with self._lock:
            now, seconds = self._now, int(self._clock() - self._began)
        return Progress(now.doing, now.done, now.of, now.question, waiting, max(0, seconds))
