"""Decoding compressed frames in a process of their own, with bounded memory and time.

The codecs are C and C++. Whatever a damaged or hostile frame makes of them, a crash, endless work
or endless memory, ends that process and leaves one plain error. It is given the compressed frame
and the few numbers that describe it, never a header, a path or a key.

One request or answer is a line of JSON, then as many bytes as it says.
"""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Timer
from typing import IO, Any

import numpy as np

from gdshare.errors import FilmError
from gdshare.films.dicom.stored import Decode, Frame, Stored

SECONDS = 60.0
"""What a frame may take: 3.6 million px in JPEG 2000 took 0.2, so the largest film some 7."""
CODEC = "gdshare.films.dicom.codec"
log = logging.getLogger(__name__)
DAMAGED = "its pixel data is damaged ({}); export it again"


def decode_apart(frame: Frame) -> Stored:
    """Decode one frame in a process that ends with it.

    Raises:
        FilmError: damaged, or beyond bounds; without a path.
    """
    with decoder() as decode:
        return decode(frame)


@contextmanager
def decoder(seconds: float = SECONDS) -> Iterator[Decode]:
    """Keep one process for many frames; it is started anew after one that ended it.

    Args:
        seconds: what one frame may take.
    """
    worker = _Worker(seconds)
    try:
        yield worker.decode
    finally:
        worker.end()


class _Worker:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._bounded = True

    def decode(self, frame: Frame) -> Stored:
        process, overdue = self._running(), Event()

        def stop() -> None:
            overdue.set()
            process.kill()

        late = Timer(self._seconds, stop)
        late.start()
        try:
            answer, content = _exchange(process, frame)
        except (OSError, ValueError) as error:
            self.end()
            why = "decoding it took too long" if overdue.is_set() else "its decoder gave up"
            raise FilmError(DAMAGED.format(why)) from error
        finally:
            late.cancel()
        if self._bounded and not answer.get("bounded", True):
            self._bounded = False
            log.warning("this system does not bound the decoder's memory; its time is bounded")
        if "error" in answer:
            raise FilmError(str(answer["error"]))
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

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._process.poll() is not None:
            self.end()
            self._process = subprocess.Popen(
                # -P: nothing is imported from the folder somebody happens to stand in.
                [sys.executable, "-P", "-m", CODEC],
                # A thread of OpenBLAS reserves 40 MB of addresses, which the bound would count.
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._process


def _exchange(process: "subprocess.Popen[bytes]", frame: Frame) -> tuple[dict[str, Any], bytes]:
    if process.stdin is None or process.stdout is None:
        raise ValueError("no pipes")
    asked = {name: value for name, value in vars(frame).items() if name != "content"}
    send(process.stdin, asked, frame.content)
    answer, content = receive(process.stdout)
    if "error" not in answer and len(content) != frame.rows * frame.columns * (
        np.dtype(str(answer["dtype"])).itemsize
    ):
        raise ValueError("a frame of another size")
    return answer, content


def send(stream: IO[bytes], head: dict[str, Any], content: bytes) -> None:
    """Write one request or answer."""
    stream.write(json.dumps(head | {"bytes": len(content)}).encode() + b"\n")
    stream.write(content)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """Read one request or answer.

    Raises:
        ValueError: the other side has ended.
    """
    head = json.loads(stream.readline())
    content = stream.read(head["bytes"])
    if len(content) != head["bytes"]:
        raise ValueError("cut short")
    return head, content
