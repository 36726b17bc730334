"""A trial's progress bar on stderr; its log lines are printed as every command's are."""

from collections.abc import Iterator
from contextlib import contextmanager

from aggregator.trial.plan import Show
from gdshare.cli.terminal import progress_bar


@contextmanager
def bar_on_terminal() -> Iterator[Show]:
    """Show one bar while the block runs, for whatever part the trial is at."""
    with progress_bar() as bar:
        task = bar.add_task("", total=None, visible=False)

        def show(description: str, done: int, total: int) -> None:
            unfinished = done < total
            bar.update(
                task, description=description, completed=done, total=total, visible=unfinished
            )

        yield show
