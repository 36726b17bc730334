"""Submitting a round to a running SuperLink, and waiting for its results.

The submitted app holds no code (``gdshare.round_app``): each side runs what it has installed.
"""

import logging
import tempfile
import time
from pathlib import Path

from aggregator.flower.cli import FlowerCli, SuperLinkAddress
from aggregator.flower.folder import FAILURE, ORDER, OUT, PROGRESS, RESULT, TABLE
from aggregator.flower.order import Order, write_order
from gdshare.errors import FederationError, UsageError
from gdshare.round_app import FILE, ROUND_APP

POLL_S = 0.3
STATUS_POLL_S = 10.0

log = logging.getLogger(__name__)


def run_round(superlink: SuperLinkAddress, out: Path, order: Order) -> str:
    """Run one round on a SuperLink of this machine; returns the table.

    Args:
        superlink: its address.
        out: folder for the results: ``round.json``, ``table.txt``, ``refusals.jsonl``, ``model/``.
        order: what to do.

    Raises:
        UsageError: ``out`` holds a round already.
        FederationError: no SuperLink, or the round failed; the message says why.
    """
    out = out.absolute()
    if (out / ORDER).exists():
        raise UsageError("holds a round already", out, "choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gdshare-") as scratch:
        cli = FlowerCli.connect(Path(scratch) / "home", superlink)
        write_order(out, _from_anywhere(order))
        try:
            run = cli.start_run(write_app(Path(scratch) / "app"), {OUT: str(out)})
        except BaseException:
            (out / ORDER).unlink()
            raise
        try:
            _wait(cli, run, out)
        except BaseException:
            _stop(cli, run)
            raise
    return (out / TABLE).read_text(encoding="utf-8")


def _from_anywhere(order: Order) -> Order:
    """With absolute paths: the ServerApp runs in another folder."""
    reference = order.reference and order.reference.absolute()
    return order.model_copy(update={"trust": order.trust.absolute(), "reference": reference})


def write_app(folder: Path) -> Path:
    """Write the app to submit; returns its folder."""
    folder.mkdir(parents=True)
    (folder / FILE).write_text(ROUND_APP, encoding="utf-8")
    return folder


def _wait(cli: FlowerCli, run: str, out: Path) -> None:
    """Log the ServerApp's lines of progress; ask Flower now and then whether it is still alive."""
    logged, asked = 0, time.monotonic()
    while True:
        finished = (out / RESULT).exists()
        lines = _lines(out / PROGRESS)
        for line in lines[logged:]:
            log.info("%s", line)
        logged = len(lines)
        if finished:
            return
        if (out / FAILURE).exists():
            raise FederationError((out / FAILURE).read_text(encoding="utf-8"))
        if time.monotonic() - asked > STATUS_POLL_S:
            _require_alive(cli, run, out)
            asked = time.monotonic()
        time.sleep(POLL_S)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _require_alive(cli: FlowerCli, run: str, out: Path) -> None:
    status, details = cli.status(run)
    if status.startswith("finished") and not (out / RESULT).exists() | (out / FAILURE).exists():
        raise FederationError(
            f"the round ended without results ({status}: {details})",
            remedy="it must run on the SuperLink's machine, as a user who may write to --out",
        )


def _stop(cli: FlowerCli, run: str) -> None:
    """End an abandoned run; an error here must not hide the one that led to it."""
    try:
        if not cli.status(run)[0].startswith("finished"):
            cli.stop_run(run)
    except FederationError:
        pass
