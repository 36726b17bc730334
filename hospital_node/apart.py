"""Has a question answered in a process of its own, within limits of time, memory and size."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO, Final, cast, get_args

from gdshare.child_environment import child_environment
from gdshare.messages import Doing
from hospital_node.activity import Report, say_nothing
from hospital_node.parcel import Parcel, iter_frames, write_frames
from hospital_node.settings import NodeSettings

OUT_OF_TIME = -getattr(signal, "SIGXCPU", 256)
"""The status of a process that used up its processor time."""
COMMAND = (sys.executable, "-P", "-m", "hospital_node.answer")
MAX_ANSWER_BYTES: Final = 64 << 20
"""A bundle has 41 MiB at most, and a hundred withdrawals less than one."""
ANSWER, PROGRESS = b"A", b"P"
"""What the first byte of a frame says of the others."""
POLL_S = 0.2

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of a question.

    Attributes:
        answer: None if the process gave none.
        in_time: whether it ended by itself, within its time.
        seconds: what it took, of the clock or of the processor, whichever is more.
    """

    answer: Parcel | None
    in_time: bool
    seconds: float


def answer_apart(
    question: Parcel,
    settings: NodeSettings,
    seconds: float,
    report: Report = say_nothing,
    stopping: threading.Event | None = None,
) -> Outcome:
    """Start a process, have it answer, and end it when its time is over.

    Args:
        question: as it came.
        settings: what the site allows.
        seconds: how long it may take, of the clock and of the processor.
        report: takes how far the process says it is.
        stopping: set by whoever ends the node; the process is ended with it.
    """
    began, processor = time.monotonic(), _processor_seconds()
    with _process(seconds, settings.memory_limit_mib) as process:
        reader = _Reader(cast(BinaryIO, process.stdout), report)
        _in_thread(_write, process.stdin, _input(question, settings))
        ended = reader.wait(began + seconds, stopping or threading.Event())
        if ended:  # one that wrote too much may go on writing
            left = began + seconds - time.monotonic() if reader.sound else 0.0
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(POLL_S, left))
        status = process.poll()
    in_time = ended and status != OUT_OF_TIME and not (reader.sound and status is None)
    spent = max(time.monotonic() - began, _processor_seconds() - processor)
    if in_time and status:
        log.error("the answering process ended with status %d", status)
    return Outcome(reader.parcel() if in_time else None, in_time, spent)


class _Reader:
    """Reads what the answering process writes, in a thread, within bounds."""

    def __init__(self, stream: BinaryIO, report: Report) -> None:
        self._stream, self._report = stream, report
        self._frames: list[bytes] = []
        self.sound = False
        """Whether the stream came to its end within the bounds."""
        self._thread = _in_thread(self._read)

    def _read(self) -> None:
        try:
            for frame in iter_frames(self._stream, MAX_ANSWER_BYTES):
                if frame[:1] == ANSWER:
                    self._frames.append(frame[1:])
                else:
                    _report(frame[1:], self._report)
            self.sound = True
        except (EOFError, ValueError, OSError) as error:
            log.warning("what the answering process wrote cannot be used: %s", error)

    def wait(self, until: float, stopping: threading.Event) -> bool:
        """Whether the stream ended in time."""
        while self._thread.is_alive() and time.monotonic() < until and not stopping.is_set():
            self._thread.join(min(POLL_S, max(0.0, until - time.monotonic())))
        return not self._thread.is_alive()

    def parcel(self) -> Parcel | None:
        """The answer, if there is a whole one."""
        self._thread.join()
        with suppress(Exception):
            return Parcel.from_frames(self._frames) if self.sound else None
        return None


def _report(content: bytes, report: Report) -> None:
    """Pass on how far the process is, if it says so in the agreed form."""
    with suppress(ValueError, TypeError):
        doing, done, of = json.loads(content)
        if doing in get_args(Doing) and type(done) is int and type(of) is int:
            report(doing, done, of)


def _in_thread(target: object, *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread


def _write(stream: BinaryIO, frames: list[bytes]) -> None:
    with suppress(OSError, ValueError), stream:  # the process may have ended
        write_frames(stream, frames)


def _input(question: Parcel, settings: NodeSettings) -> list[bytes]:
    values = settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    return [json.dumps(values).encode(), *question.frames()]


@contextmanager
def _process(seconds: float, memory_mib: int) -> Iterator[subprocess.Popen[bytes]]:
    """The answering process; it and all that it started are gone when the block ends."""
    with subprocess.Popen(
        [*COMMAND, str(max(1, round(seconds))), str(memory_mib), str(os.getpid())],
        env=child_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End it, also one that somebody has stopped."""
    with suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:  # Windows
            process.kill()
    process.wait()


def _processor_seconds() -> float:
    """What all processes took that this one started and that have ended."""
    times = os.times()
    return times.children_user + times.children_system
