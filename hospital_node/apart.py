"""Has a question answered in a process of its own, within limits of time."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO

from gdshare.child_environment import child_environment
from hospital_node.parcel import Parcel, read_frames, write_frames
from hospital_node.settings import NodeSettings

OUT_OF_TIME = -getattr(signal, "SIGXCPU", 256)
"""The status of a process that used up its processor time."""
COMMAND = (sys.executable, "-P", "-m", "hospital_node.answer")

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


def answer_apart(question: Parcel, settings: NodeSettings, seconds: float) -> Outcome:
    """Start a process, have it answer, and end it when its time is over.

    Args:
        question: as it came.
        settings: what the site allows.
        seconds: how long it may take, of the clock and of the processor.
    """
    began, processor = time.monotonic(), _processor_seconds()
    content = _input(question, settings)
    with _process(seconds) as process:
        try:
            output, _ = process.communicate(content, timeout=seconds)
            in_time = process.returncode != OUT_OF_TIME
        except subprocess.TimeoutExpired:
            output, in_time = b"", False
    spent = max(time.monotonic() - began, _processor_seconds() - processor)
    if in_time and process.returncode != 0:
        log.error("the answering process ended with status %d", process.returncode)
    return Outcome(_parcel(output) if in_time else None, in_time, spent)


def _input(question: Parcel, settings: NodeSettings) -> bytes:
    values = settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    stream = BytesIO()
    write_frames(stream, [json.dumps(values).encode(), *question.frames()])
    return stream.getvalue()


def _parcel(output: bytes) -> Parcel | None:
    with suppress(Exception):
        return Parcel.from_frames(read_frames(BytesIO(output)))
    return None


@contextmanager
def _process(seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    """The answering process; it and all that it started are gone when the block ends."""
    with subprocess.Popen(
        [*COMMAND, str(max(1, round(seconds)))],
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
