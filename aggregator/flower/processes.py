"""Starting server processes, and ending them with everything they started themselves."""

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
TERMINATE_S = 8.0
KILL_S = 10.0
POLL_S = 0.1


class Processes:
    """A group of processes, each the leader of its own session.

    Flower's processes start others, some in new sessions. All inherit a mark in their environment,
    by which, on Linux, exactly the descendants of one ``Processes`` are found.
    """

    def __init__(self) -> None:
        """Draw the mark."""
        self.mark = uuid.uuid4().hex
        self._started: list[subprocess.Popen[bytes]] = []
        self._logs: list[Path] = []

    def start(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        """Start a process in the folder of ``log``, which receives all it prints."""
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
        """Check that no process has ended by itself.

        Raises:
            FederationError: one has; the error names its log.
        """
        for process, log in zip(self._started, self._logs, strict=True):
            if process.poll() is not None:
                raise FederationError(
                    f"this process ended with status {process.returncode}", log, "see its log"
                )

    def terminate(self) -> None:
        """Ask all to end, and wait for none."""
        for process in self._started:
            _signal_group(process, signal.SIGTERM)

    def stop(self) -> None:
        """Terminate all, wait, then kill those that are left and their descendants."""
        self.terminate()
        self._wait(TERMINATE_S)
        for process in self._started:
            _signal_group(process, signal.SIGKILL)
            process.wait()
        end = time.monotonic() + KILL_S
        while (pids := self.pids()) and time.monotonic() < end:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(POLL_S)  # a killed process takes a moment to go, more so on a busy machine

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            ended = [process.poll() is not None for process in self._started]
            if all(ended) and not self.pids():
                return
            time.sleep(POLL_S)

    def pids(self) -> list[int]:
        """Ids of all processes with the mark; empty without /proc."""
        variable = f"{MARK}={self.mark}".encode()
        pids: list[int] = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if variable in (folder / "environ").read_bytes().split(b"\0"):
                    pids.append(int(folder.name))
        return pids


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal a process's session, while its id cannot belong to another process yet."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)


@contextmanager
def together() -> Iterator[Processes]:
    """Processes that end with the block: at its end, on an error, on Ctrl-C or SIGTERM."""
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
    """Let SIGTERM end the block as Ctrl-C does, so that it cleans up."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    with _handling({signal.SIGTERM: leave}):
        yield


@contextmanager
def _handling(handlers: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    """Handle signals within the block; does nothing outside the main thread, which alone may."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
