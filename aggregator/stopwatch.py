"""How long each step of a round or a trial takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stopwatch:
    """Seconds of each step, by the wall clock."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time the block; a step that fails has no time."""
        start = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - start, 2)
