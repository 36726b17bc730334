"""The Flower ServerApp: reads the order left in the results' folder and holds the round.

Runs as a process of the SuperLink, on its machine, and reports by files (``flower.folder``).
"""

from datetime import UTC, datetime
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from aggregator.flower.folder import FAILURE, OUT, PROGRESS
from aggregator.flower.order import read_order
from aggregator.round import hold_round
from gdshare.errors import FederationError, GdshareError
from gdshare.storage import write_bytes

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Hold one round."""
    out = Path(str(context.run_config.get(OUT, "")))
    if not out.is_absolute():
        raise FederationError(
            "the run names no folder for its results", remedy="use gdshare aggregate"
        )

    def tell(line: str) -> None:
        with (out / PROGRESS).open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")

    try:
        hold_round(grid, read_order(out), out, datetime.now(UTC), tell)
    except GdshareError as error:
        write_bytes(out / FAILURE, str(error).encode())
        raise
    except Exception as error:
        write_bytes(out / FAILURE, f"a fault in gdshare itself: {error!r}; report it".encode())
        raise
