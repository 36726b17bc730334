"""The hospitals' parts side by side, one process each, as in a real federation."""

import logging
import queue
import signal
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from logging.handlers import QueueHandler
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import torch

from aggregator.flower.processes import ending_in_order
from aggregator.trial.hospital import Participant, release
from aggregator.trial.plan import Hospital, Show, Trial
from gdshare.allocator import keep_freed_memory
from gdshare.logs import PACKAGES

POLL_S = 0.2


class _StopAskedError(Exception):
    """Raised in a hospital's process once the trial was given up."""


_stop: Event | None = None  # in a hospital's process: set when the trial is given up


@dataclass(frozen=True)
class _RemoteShow:
    """A ``Show`` for a hospital's process: progress goes to the process with the terminal."""

    box: Any  # a proxy of a queue, for which multiprocessing has no public type

    def __call__(self, description: str, done: int, total: int) -> None:
        if _stop is not None and _stop.is_set():
            raise _StopAskedError
        self.box.put((description, done, total))


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
    stop = spawn.Event()
    with ending_in_order(), spawn.Manager() as manager:
        box = manager.Queue()
        level = logging.getLogger(__name__).getEffectiveLevel()
        with ProcessPoolExecutor(workers, spawn, _begin, (stop, box, level)) as pool:
            try:
                parts = [
                    pool.submit(_part, hospital, place, out, trial, now, _RemoteShow(box))
                    for place, hospital in enumerate(trial.hospitals)
                ]
                _pass_on(box, parts, show)
                for part in parts:
                    if part.done():
                        part.result()  # raises what went wrong, before the others are waited for
                return [part.result() for part in parts]
            except BaseException:
                stop.set()  # the other parts end when they next show progress
                pool.shutdown(wait=True, cancel_futures=True)
                raise


def _begin(stop: Event, box: Any, level: int) -> None:
    """Set up a hospital's process: one thread, and its log goes to the first process.

    Ctrl-C is ignored here: a terminal sends it to all processes, and the first one ends the others.
    """
    global _stop  # noqa: PLW0603 - an event reaches a process only as it starts
    _stop = stop
    keep_freed_memory()
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in PACKAGES:
        logger = logging.getLogger(name)
        logger.addHandler(QueueHandler(box))
        logger.setLevel(level)


def _part(
    hospital: Hospital, place: int, out: Path, trial: Trial, now: datetime, show: Show
) -> Participant:
    folder = out / "sites" / hospital.name
    return release(hospital, place, folder, out / "trust", trial, now, show)


def _pass_on(box: Any, parts: Sequence[Future[Participant]], show: Show) -> None:
    """Log and show what the parts send until all have ended, or one failed; one bar for all."""
    progress: dict[str, tuple[int, int]] = {}
    while True:
        all_done = all(part.done() for part in parts)
        if any(part.done() and part.exception() for part in parts):
            return
        try:
            item = box.get(timeout=POLL_S)
        except queue.Empty:
            if all_done:
                return
            continue
        if isinstance(item, logging.LogRecord):
            logging.getLogger(item.name).handle(item)
        else:
            description, done, total = item
            progress[description] = (done, total)
            show(
                "all hospitals",
                sum(done for done, _ in progress.values()),
                sum(total for _, total in progress.values()),
            )
