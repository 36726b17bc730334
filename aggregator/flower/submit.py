"""Submitting a round to a running SuperLink, and following it to its results.

The submitted app holds no code (``gdshare.round_app``): each side runs what it has installed. The
process that runs the round keeps a lock in the round's folder, by which this one sees whether it is
alive. If it dies, it is started again, and goes on from the round's record.
"""

import logging
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from aggregator.flower.cli import FlowerCli, SuperLinkAddress
from aggregator.flower.folder import FAILURE, LOCK, ORDER, OUT, PROGRESS, RECORD, RESULT, TABLE
from aggregator.flower.order import Order, read_order, write_order
from aggregator.record import open_record, read_record
from gdshare.errors import FederationError, UsageError
from gdshare.round_app import FILE, ROUND_APP

POLL_S = 0.3
STATUS_POLL_S = 10.0
RESTARTS = 10
"""How often in a row the process may die without a line of progress."""
SUPERLINK_S = 300.0
"""How long to wait for a SuperLink that has gone."""
RETRY_S = 3.0

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
        raise UsageError(
            "holds a round already",
            out,
            "choose another --out, or go on with that round by --resume",
        )
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gdshare-") as scratch:
        follower = _Follower(Path(scratch), superlink, out)
        write_order(out, _from_anywhere(order))
        try:
            run = follower.start()
        except BaseException:
            (out / ORDER).unlink()
            raise
        return follower.follow(run)


def resume_round(superlink: SuperLinkAddress, out: Path, change: Callable[[Order], Order]) -> str:
    """Go on with a round that was interrupted, or follow it if it is still running.

    Args:
        superlink: its address.
        out: the round's folder.
        change: what is ordered otherwise from now on; not while the round is running.

    Raises:
        FederationError: there is no round, no SuperLink, or the round failed.
    """
    out = out.absolute()
    order = read_order(out)
    if (out / RESULT).exists():
        log.info("the round is closed already")
        close_record(out)
        return (out / TABLE).read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="gdshare-") as scratch:
        follower = _Follower(Path(scratch), superlink, out)
        if is_running(out):
            log.info("the round is running: its progress follows")
            return follower.follow(_run_of(out))
        write_order(out, change(order))
        (out / FAILURE).unlink(missing_ok=True)
        return follower.follow(follower.start_patiently())


def is_running(out: Path) -> bool:
    """Whether a process is running the round; looking changes nothing, and stops nobody.

    Raises:
        OSError: the lock may not be read.
    """
    import fcntl  # noqa: PLC0415 - no round runs on Windows, where commands import this module

    try:
        descriptor = os.open(out / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:  # shared: two that look do not take each other for the process that works
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def close_record(out: Path) -> None:
    """Close the record of a round that has its result, if a kill came between the two."""
    if (out / RECORD).exists():
        with open_record(out / RECORD, lambda: datetime.now(UTC)) as record:
            record.close()


def write_app(folder: Path) -> Path:
    """Write the app to submit; returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(ROUND_APP, encoding="utf-8")
    return folder


class _Follower:
    """Submits a round's run, again if it dies, and logs its progress."""

    def __init__(self, scratch: Path, superlink: SuperLinkAddress, out: Path) -> None:
        self.cli = FlowerCli.connect(scratch / "home", superlink)
        self.app, self.out = write_app(scratch / "app"), out
        self.logged = len(self._lines())

    def start(self) -> str:
        """Submit the run; returns its number."""
        return self.cli.start_run(self.app, {OUT: str(self.out)})

    def start_patiently(self) -> str:
        """The same, while the SuperLink may be coming up again."""
        end, said = time.monotonic() + SUPERLINK_S, False
        while True:
            try:
                return self.start()
            except FederationError as error:
                if time.monotonic() > end:
                    raise FederationError(
                        f"the SuperLink has been away for {SUPERLINK_S:.0f} s ({error})",
                        self.out,
                        "start it, then gdshare aggregate --resume",
                    ) from error
                if not said:
                    log.warning("%s; waiting for it", error)
                said = True
                time.sleep(RETRY_S)

    def follow(self, run: str) -> str:
        """Wait for the results, and start the round again where its process dies."""
        deaths = 0
        try:
            while True:
                before = self.logged
                death = self._wait(run)
                if death is None:
                    close_record(self.out)
                    return (self.out / TABLE).read_text(encoding="utf-8")
                deaths = 1 if self.logged > before else deaths + 1
                if deaths >= RESTARTS:
                    raise FederationError(
                        f"the round's process died {RESTARTS} times without a step",
                        self.out,
                        "see the SuperLink's log, then gdshare aggregate --resume",
                    )
                log.warning("the process that ran the round died (%s); it goes on", death)
                with suppress(FederationError):
                    self.cli.stop_run(run)
                run = self.start_patiently()
        except BaseException:
            self._stop(run)
            raise

    def _wait(self, run: str) -> str | None:
        """Wait until the round is over, None, or its process has died: how, in words.

        Raises:
            FederationError: the round failed.
        """
        lived, asked = False, time.monotonic()
        while True:
            alive = is_running(self.out)
            finished = (self.out / RESULT).exists()
            self._log_progress()
            if finished:
                return None
            if (self.out / FAILURE).exists():
                raise FederationError((self.out / FAILURE).read_text(encoding="utf-8"))
            if lived and not alive:
                time.sleep(POLL_S)  # between its lock and its last word
                if not (self.out / RESULT).exists() and not (self.out / FAILURE).exists():
                    return "killed, or the SuperLink with it"
            lived = lived or alive
            if not lived and time.monotonic() - asked > STATUS_POLL_S:
                asked = time.monotonic()
                if (death := self._never_lived(run)) is not None:
                    return death
            time.sleep(POLL_S)

    def _never_lived(self, run: str) -> str | None:
        """How a run ended whose process was never seen; None if it may still begin.

        Raises:
            FederationError: it ended before it opened the round's record.
        """
        try:
            status, details = self.cli.status(run)
        except FederationError as error:  # the SuperLink has gone, and the run perhaps with it
            return str(error)
        if not status.startswith("finished") or (self.out / RESULT).exists():
            return None
        if (self.out / RECORD).exists():
            return f"{status}: {details}"
        raise FederationError(
            f"the round ended without results ({status}: {details})",
            remedy="it must run on the SuperLink's machine, as a user who may write to --out",
        )

    def _log_progress(self) -> None:
        lines = self._lines()
        for line in lines[self.logged :]:
            log.info("%s", line)
        self.logged = len(lines)

    def _lines(self) -> list[str]:
        path = self.out / PROGRESS
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def _stop(self, run: str) -> None:
        """End an abandoned run; an error here must not hide the one that led to it."""
        with suppress(FederationError):
            if not self.cli.status(run)[0].startswith("finished"):
                self.cli.stop_run(run)


def _run_of(out: Path) -> str:
    """Flower's number of the run that is at work on a round."""
    with read_record(out / RECORD) as record:
        return record.run


def _from_anywhere(order: Order) -> Order:
    """With absolute paths: the ServerApp runs in another folder."""
    named = ("reference", "announcement")
    paths = {name: path.absolute() for name in named if (path := getattr(order, name))}
    return order.model_copy(update={"trust": order.trust.absolute(), **paths})
