"""Decoding compressed frames in a separate process, with bounded memory and time.

The codecs are C and C++. If a damaged or hostile frame makes one crash, loop or exhaust memory,
only that process ends, and the caller gets one plain error. The process receives the compressed
frame and the few numbers that describe it, never a header, a path or a key.

A request or an answer is a line of JSON, followed by as many bytes as its ``bytes`` says.
"""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Timer
from typing import IO, Any

import numpy as np

from gdshare.child_environment import child_environment
from gdshare.errors import FilmError
from gdshare.films.dicom.agreement import as_coded, as_header_says, damaged
from gdshare.films.dicom.stored import Decode, Frame, Stored

TIMEOUT_S = 60.0
"""For one frame: 3.6 million px in JPEG 2000 took 0.2 s, so the largest film takes some 7 s."""
CODEC = "gdshare.films.dicom.codec"
log = logging.getLogger(__name__)


def decode_apart(frame: Frame) -> Stored:
    """Decode one frame in a process of its own.

    Returns:
        int or uint [rows, columns].

    Raises:
        FilmError: the frame is damaged or exceeds a limit; without a path.
    """
    with decoder() as decode:
        return decode(frame)


@contextmanager
def decoder(timeout_s: float = TIMEOUT_S) -> Iterator[Decode]:
    """Decode many frames in one process; it is restarted if a frame ends it.

    Args:
        timeout_s: limit for one frame.
    """
    worker = _Worker(timeout_s)
    try:
        yield worker.decode
    finally:
        worker.end()


class _Worker:
    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._bounded = True

    def decode(self, frame: Frame) -> Stored:
        coded, signed = as_coded(frame)
        return as_header_says(self._decode(coded), coded, signed, frame)

    def _decode(self, frame: Frame) -> Stored:
        process, timed_out = self._start(), Event()

        def stop() -> None:
            timed_out.set()
            process.kill()

        timer = Timer(self._timeout_s, stop)
        timer.start()
        try:
            answer, content = _exchange(process, frame)
        except (OSError, ValueError) as error:
            self.end()
            raise damaged(
                "decoding took too long" if timed_out.is_set() else "the decoder failed"
            ) from error
        finally:
            timer.cancel()
        if self._bounded and not answer.get("bounded", True):
            self._bounded = False
            log.warning("this system cannot limit the decoder's memory; its time is limited")
        if "error" in answer:
            raise FilmError(str(answer["error"]), remedy=str(answer["remedy"]))
        values = np.frombuffer(content, np.dtype(str(answer["dtype"])))
        return values.reshape(frame.rows, frame.columns)

    def end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):
                if stream is not None:
                    stream.close()
        process.kill()
        process.wait()

    def _start(self) -> "subprocess.Popen[bytes]":
        """The running process, started if there is none."""
        if self._process is None or self._process.poll() is not None:
            self.end()
            self._process = subprocess.Popen(
                # -P: import nothing from the current folder.
                [sys.executable, "-P", "-m", CODEC],
                # Each OpenBLAS thread reserves 40 MB of address space, which counts as memory.
                env=child_environment(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._process


def _exchange(process: "subprocess.Popen[bytes]", frame: Frame) -> tuple[dict[str, Any], bytes]:
    if process.stdin is None or process.stdout is None:
        raise ValueError("no pipes")
    head = {name: value for name, value in vars(frame).items() if name != "content"}
    send(process.stdin, head, frame.content)
    answer, content = receive(process.stdout)
    if "error" not in answer and len(content) != frame.rows * frame.columns * (
        np.dtype(str(answer["dtype"])).itemsize
    ):
        raise ValueError("a frame of another size")
    return answer, content


def send(stream: IO[bytes], head: dict[str, Any], content: bytes) -> None:
    """Write a request or an answer."""
    stream.write(json.dumps(head | {"bytes": len(content)}).encode() + b"\n")
    stream.write(content)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """Read a request or an answer.

    Raises:
        ValueError: the other process has ended.
    """
    head = json.loads(stream.readline())
    content = stream.read(head["bytes"])
    if len(content) != head["bytes"]:
        raise ValueError("cut short")
    return head, content
