"""A trial's course on stderr: bars for a person, plain lines for a pipe."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from aggregator.trial.plan import Stage
from gdshare.cli.terminal import progress_bar


@contextmanager
def on_terminal() -> Iterator[Stage]:
    """Show what a trial does while the block runs."""
    with progress_bar() as bar:
        task = bar.add_task("", total=None, visible=False)

        def tell(line: str) -> None:
            bar.update(task, visible=False)
            if bar.console.is_terminal:
                bar.console.print(line, highlight=False)
            else:
                sys.stderr.write(line + "\n")

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total, visible=True)

        yield Stage(tell, show)
