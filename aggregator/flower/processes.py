"""Starting processes that serve, and ending them with everything they started themselves."""

import os
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from gdshare.errors import FederationError

Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None

MARK = "GDSHARE_FEDERATION"
GENTLE = 8.0
KILL = 10.0
POLL = 0.1


class Processes:
    """Processes that belong together, each leading a session of its own.

    Flower's processes start others, some in new sessions. All inherit the mark in the environment,
    by which this finds, on Linux, exactly those that descend from one ``Processes``.
    """

    def __init__(self) -> None:
        """Draw the mark."""
        self.mark = uuid.uuid4().hex
        self._started: list[subprocess.Popen[bytes]] = []
        self._logs: list[Path] = []

    def start(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        """Start one process in the folder of its ``log``, where what it prints goes."""
        self._logs.append(log)
        with log.open("wb") as stream:
            self._started.append(
                subprocess.Popen(
                    command,
                    cwd=log.parent,
                    env={**environment, MARK: self.mark},
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def require_alive(self) -> None:
        """Check that none has ended by itself.

        Raises:
            FederationError: naming the log of the one that has.
        """
        for process, log in zip(self._started, self._logs, strict=True):
            if process.poll() is not None:
                raise FederationError(
                    f"this process ended with status {process.returncode}", log, "its log says why"
                )

    def stop(self) -> None:
        """Ask all to end, wait, then kill what is left of them and of their descendants."""
        for process in self._started:
            _signal_group(process, signal.SIGTERM)
        self._wait(GENTLE)
        for process in self._started:
            _signal_group(process, signal.SIGKILL)
            process.wait()
        end = time.monotonic() + KILL
        while (left := self.marked()) and time.monotonic() < end:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(POLL)  # a killed process takes a moment to go, more so on a busy machine

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            ended = [process.poll() is not None for process in self._started]
            if all(ended) and not self.marked():
                return
            time.sleep(POLL)

    def marked(self) -> list[int]:
        """Process ids that carry the mark; empty where there is no /proc."""
        wanted = f"{MARK}={self.mark}".encode()
        found: list[int] = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal the session a process leads, while its id is surely still its own."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)


@contextmanager
def together() -> Iterator[Processes]:
    """Processes that end with the block: at its end, on an error, on Ctrl-C and on SIGTERM."""
    processes = Processes()
    with ending_in_order():
        try:
            yield processes
        finally:
            # A second Ctrl-C must not leave half of them running.
            with _handling({signal.SIGTERM: signal.SIG_IGN, signal.SIGINT: signal.SIG_IGN}):
                processes.stop()


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, so that what it cleans up is cleaned up."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    with _handling({signal.SIGTERM: leave}):
        yield


@contextmanager
def _handling(handlers: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    """Handle signals so for the length of the block; only the main thread may, others pass."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
