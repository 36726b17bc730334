"""The Flower ServerApp: reads the order from the round's folder and runs the round.

It is a process of the SuperLink, on the same machine as the command, and reports by files
(``flower.folder``): each log line of the round is added to ``progress.txt``.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from aggregator.flower.folder import FAILURE, OUT, PROGRESS
from aggregator.flower.order import read_order
from aggregator.round import Round, RoundTakenError
from gdshare.errors import FederationError, GdshareError
from gdshare.logs import LineFormatter, start_logging_from
from gdshare.storage import write_bytes

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run one round."""
    out = Path(str(context.run_config.get(OUT, "")))
    if not out.is_absolute():
        raise FederationError(
            "the run names no folder for its results", remedy="use gdshare aggregate"
        )
    start_logging_from(os.environ)
    try:
        with _progress_in(out / PROGRESS):
            Round(grid, read_order(out), datetime.now(UTC), context.run_id).run(out)
    except (RoundTakenError, httpx.HTTPError):
        raise  # another process runs this round, or the SuperLink has gone: the round is not over
    except GdshareError as error:
        write_bytes(out / FAILURE, str(error).encode())
        raise
    except Exception as error:
        write_bytes(out / FAILURE, f"a fault in gdshare itself: {error!r}; report it".encode())
        raise


@contextmanager
def _progress_in(path: Path) -> Iterator[None]:
    """Add the aggregator's log lines to a file while the block runs."""
    logger = logging.getLogger("aggregator")
    level = logger.level
    with closing(logging.FileHandler(path, encoding="utf-8", delay=True)) as handler:
        handler.setLevel(logging.INFO)
        handler.setFormatter(LineFormatter("%(message)s"))
        logger.addHandler(handler)
        logger.setLevel(min(logger.getEffectiveLevel(), logging.INFO))
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
