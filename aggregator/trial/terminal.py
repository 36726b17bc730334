"""A trial's progress on stderr: one bar on a terminal, lines in a pipe."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from aggregator.trial.plan import Show
from gdshare.progress import Lines, bar

log = logging.getLogger(__name__)


@contextmanager
def bar_on_terminal() -> Iterator[Show]:
    """Show one bar, or lines, while the block runs, for whatever part the trial is at."""
    with bar() as shown:
        if shown.disable:
            yield _lines()
            return
        task = shown.add_task("", total=None, visible=False, detail="")

        def show(description: str, done: int, total: int) -> None:
            unfinished = done < total
            shown.update(
                task, description=description, completed=done, total=total, visible=unfinished
            )

        yield show


def _lines() -> Show:
    parts: dict[str, Lines] = {}

    def show(description: str, done: int, total: int) -> None:
        if description not in parts:
            parts[description] = Lines(description, log.info)
        parts[description].report(done, total)

    return show
