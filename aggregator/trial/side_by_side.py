"""The hospitals' parts at once, one process each, as they would be in the world."""

import signal
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event, Lock
from pathlib import Path

import torch

from aggregator.flower.processes import ending_in_order
from aggregator.trial.hospital import Released, release
from aggregator.trial.plan import Hospital, Stage, Trial
from gdshare.allocator import keep_freed_memory

LOOK = 0.2


class _StopAskedError(Exception):
    """Raised inside a part that nobody waits for any more."""


@dataclass(frozen=True)
class _Mail:
    """A stage whose words travel to the process that has the terminal.

    Through a pipe: the socket of a manager cannot be made where TMPDIR is longer than 80 bytes.

    Attributes:
        pipe: written by every hospital's process, a message at a time under the lock.
        stop: set when the trial is given up.
    """

    pipe: Connection
    lock: Lock
    stop: Event

    def tell(self, line: str) -> None:
        self._send(line)

    def show(self, what: str, done: int, total: int) -> None:
        self._send((what, done, total))

    def _send(self, words: object) -> None:
        if self.stop.is_set():
            raise _StopAskedError
        with self.lock:
            self.pipe.send(words)


_mail: _Mail  # in a hospital's process, from its beginning


def release_all(
    trial: Trial, out: Path, now: datetime, stage: Stage, workers: int
) -> list[Released]:
    """Do every hospital's part, ``workers`` at a time, each on one thread.

    One thread each, since one seed's bytes depend on the number, and since two busy processes of
    two threads crawl on two cores.

    Args:
        trial: the plan.
        out: the trial's folder.
        now: time of signing.
        stage: told what happens, in this process.
        workers: hospitals at a time, at least 1.

    Returns:
        what each released, in the trial's order.
    """
    # Started afresh rather than forked: a fork would copy the progress bar's thread half-way.
    fresh = get_context("spawn")
    arriving, pipe = fresh.Pipe(duplex=False)
    mail = _Mail(pipe, fresh.Lock(), fresh.Event())
    with (
        ending_in_order(),
        arriving,
        pipe,
        ProcessPoolExecutor(workers, fresh, _begin, (mail,)) as pool,
    ):
        try:
            parts = [
                pool.submit(_part, hospital, place, out, trial, now)
                for place, hospital in enumerate(trial.hospitals)
            ]
            _pass_on(arriving, parts, stage)
            for part in parts:
                if part.done():
                    part.result()  # raises what went wrong, before the others are waited for
            return [part.result() for part in parts]
        except BaseException:
            mail.stop.set()  # running parts end at their next word, within a training step
            arriving.close()  # a full pipe would keep them from ending
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _begin(mail: _Mail) -> None:
    """One thread; and Ctrl-C, which a terminal sends to all, is for the first process to judge."""
    global _mail  # noqa: PLW0603 - a pipe reaches a process only as it starts
    _mail = mail
    keep_freed_memory()
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _part(hospital: Hospital, place: int, out: Path, trial: Trial, now: datetime) -> Released:
    stage = Stage(_mail.tell, _mail.show)
    return release(hospital, place, out / "sites" / hospital.name, out / "trust", trial, now, stage)


def _pass_on(arriving: Connection, parts: Sequence[Future[Released]], stage: Stage) -> None:
    """Hand on what the parts say until all have ended, or one failed; their bars become one."""
    counts: dict[str, tuple[int, int]] = {}
    while True:
        ended = all(part.done() for part in parts)
        if any(part.done() and part.exception() for part in parts):
            return
        if not arriving.poll(LOOK):
            if ended:
                return
            continue
        said = arriving.recv()
        if isinstance(said, str):
            stage.tell(said)
        else:
            what, done, total = said
            counts[what] = (done, total)
            stage.show(
                "all hospitals",
                sum(d for d, _ in counts.values()),
                sum(t for _, t in counts.values()),
            )
