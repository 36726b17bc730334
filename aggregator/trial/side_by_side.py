"""The hospitals' parts side by side, one process each, as in a real federation."""

import logging
import signal
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from logging.handlers import QueueHandler
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event, Lock
from pathlib import Path

import torch

from aggregator.flower.processes import ending_in_order
from aggregator.trial.hospital import Participant, release
from aggregator.trial.plan import Hospital, Show, Trial
from gdshare.allocator import keep_freed_memory
from gdshare.child_environment import without_secrets
from gdshare.logs import PACKAGES

POLL_S = 0.2


class _StopAskedError(Exception):
    """Raised in a hospital's process once the trial was given up."""


@dataclass(frozen=True)
class _Mail:
    """Progress and log records on their way from a hospital's process to the terminal's.

    Through a pipe: the socket of a manager cannot be made if TMPDIR is longer than 80 bytes.

    Attributes:
        pipe: written by every hospital's process, a message at a time under the lock.
        stop: set when the trial is given up.
    """

    pipe: Connection
    lock: Lock
    stop: Event

    def show(self, description: str, done: int, total: int) -> None:
        if self.stop.is_set():
            raise _StopAskedError
        self.put_nowait((description, done, total))

    def put_nowait(self, message: object) -> None:
        """Send; the name is the one that ``QueueHandler`` calls."""
        with self.lock, suppress(BrokenPipeError):  # closed: the trial was given up
            self.pipe.send(message)


_mail: _Mail  # in a hospital's process, from its start


def release_all(
    trial: Trial, out: Path, now: datetime, show: Show, workers: int
) -> list[Participant]:
    """Do every hospital's part, ``workers`` at a time, each on one thread.

    One thread each because a seed's bytes depend on the number of threads, and because two busy
    processes of two threads crawl on two cores.

    Args:
        trial: the plan.
        out: the trial's folder.
        now: time of signing.
        show: called in this process.
        workers: hospitals at a time, at least 1.

    Returns:
        the hospitals in the trial's order.
    """
    # Spawned rather than forked: a fork would copy the progress bar's thread half-way.
    spawn = get_context("spawn")
    arriving, pipe = spawn.Pipe(duplex=False)
    mail = _Mail(pipe, spawn.Lock(), spawn.Event())
    level = logging.getLogger(__name__).getEffectiveLevel()
    with (
        without_secrets(),
        ending_in_order(),
        arriving,
        pipe,
        ProcessPoolExecutor(workers, spawn, _begin, (mail, level)) as pool,
    ):
        try:
            parts = [
                pool.submit(_part, hospital, place, out, trial, now)
                for place, hospital in enumerate(trial.hospitals)
            ]
            _pass_on(arriving, parts, show)
            for part in parts:
                if part.done():
                    part.result()  # raises what went wrong, before the others are waited for
            return [part.result() for part in parts]
        except BaseException:
            mail.stop.set()  # the other parts end when they next show progress
            arriving.close()  # a full pipe would keep them from ending
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _begin(mail: _Mail, level: int) -> None:
    """Set up a hospital's process: one thread, and its log goes to the first process.

    Ctrl-C is ignored here: a terminal sends it to all processes, and the first one ends the others.
    """
    global _mail  # noqa: PLW0603 - a pipe reaches a process only as it starts
    _mail = mail
    keep_freed_memory()
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in PACKAGES:
        logger = logging.getLogger(name)
        logger.addHandler(QueueHandler(mail))  # type: ignore[arg-type]  # it has put_nowait
        logger.setLevel(level)


def _part(hospital: Hospital, place: int, out: Path, trial: Trial, now: datetime) -> Participant:
    folder = out / "sites" / hospital.name
    return release(hospital, place, folder, out / "trust", trial, now, _mail.show)


def _pass_on(arriving: Connection, parts: Sequence[Future[Participant]], show: Show) -> None:
    """Log and show what the parts send until all have ended, or one failed; one bar for all."""
    progress: dict[str, tuple[int, int]] = {}
    while True:
        all_done = all(part.done() for part in parts)
        if any(part.done() and part.exception() for part in parts):
            return
        if not arriving.poll(POLL_S):
            if all_done:
                return
            continue
        message = arriving.recv()
        if isinstance(message, logging.LogRecord):
            logging.getLogger(message.name).handle(message)
        else:
            description, done, total = message
            progress[description] = (done, total)
            show(
                "all hospitals",
                sum(done for done, _ in progress.values()),
                sum(total for _, total in progress.values()),
            )
