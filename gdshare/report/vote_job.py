"""Classifying many films with one model, by one process or by several at once.

Several processes share nothing but the films' names: each reads the model from the bytes it is
started with, and what it logs is logged by the process that started it.
"""

import hashlib
import logging
import multiprocessing
import os
import signal
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from logging.handlers import QueueHandler, QueueListener
from multiprocessing.queues import Queue
from pathlib import Path
from threading import Thread

import torch

from gdshare.allocator import keep_freed_memory
from gdshare.child_environment import without_secrets
from gdshare.errors import FilmError, RunError
from gdshare.films import read_film
from gdshare.films.film import warn_of_narrow_range
from gdshare.model import Model
from gdshare.patches import Grid
from gdshare.plain_files import open_plain
from gdshare.protocol import Protocol
from gdshare.report.vote_files import VoteRecord, read_record, record_of, write_film
from gdshare.vote import Predict, predictor, vote_map

FILMS_A_WORKER = 4
"""A process takes as long to start as about two films to classify."""

Outcome = VoteRecord | FilmError
"""What became of a film: its votes, or why it is refused."""


@dataclass(frozen=True)
class VoteJob:
    """What every film is classified with; another process can be started with it.

    Attributes:
        network, weights: the model's, see ``Model``.
        protocol: that films are cut by: the model's, or its with another stride.
        threshold: ε.
        device: that each process computes on.
        spacing_mm: pixel size, mm, of films whose file lacks it.
        out: folder for pictures and records; None keeps none.
    """

    network: str
    weights: bytes
    protocol: Protocol
    threshold: float
    device: str = "cpu"
    spacing_mm: float | None = None
    out: Path | None = None

    @cached_property
    def predict(self) -> Predict:
        """The model, ready to classify."""
        return predictor(Model.from_bytes(self.network, self.protocol, self.weights), self.device)

    @cached_property
    def model_sha256(self) -> str:
        """Of the weights."""
        return hashlib.sha256(self.weights).hexdigest()

    def classify(self, name: str, path: Path) -> Outcome:
        """A film's votes; kept where there is a folder for them, and taken from there if known."""
        try:
            film = read_film(path, self.spacing_mm)
            warn_of_narrow_range(film)
            with open_plain(path) as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            before = read_record(self.out, name) if self.out else None
            grid = Grid.on(film, self.protocol)
            if before and before.is_of(digest, self.model_sha256, grid):
                seen = before.seen
            else:
                seen = vote_map(film, self.protocol, self.predict)
            record = record_of(name, digest, self.model_sha256, seen, self.threshold)
            if self.out and record != before:
                write_film(self.out, film, record, path, datetime.now(UTC))
        except FilmError as error:
            return error
        return record


def default_workers(films: int, device: str) -> int:
    """As many processes as cores, where the films are worth it; one on a GPU."""
    if device != "cpu":
        return 1
    return max(1, min(_cores(), films // FILMS_A_WORKER))


def _cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def classify_films(
    job: VoteJob, films: Mapping[str, Path], workers: int
) -> Generator[tuple[str, Outcome]]:
    """Classify films, and yield each with its name as it comes, in their order.

    Args:
        job: what they are classified with.
        films: name -> file.
        workers: processes at once; 1 is this process.

    Raises:
        RunError: one of several processes was ended from outside.
    """
    if workers == 1:
        for name, path in films.items():
            yield name, job.classify(name, path)
        return
    threads = max(1, torch.get_num_threads() // workers)
    spawn = multiprocessing.get_context("spawn")
    with (
        without_secrets(),
        _relayed_logs() as queue,
        ProcessPoolExecutor(workers, spawn, _begin, (replace(job), threads, queue)) as pool,
    ):
        try:
            yield from zip(films, pool.map(_classify, films.items()), strict=True)
        except BrokenProcessPool as error:
            raise RunError(
                "a process that classified films was ended",
                remedy="there may be too little memory: start again with fewer --workers",
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


_JOB: list[VoteJob] = []
"""This process's, if it was started by ``classify_films``."""


def _begin(job: VoteJob, threads: int, queue: "Queue[logging.LogRecord]") -> None:
    """Make ready a process that was started to classify films."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the first process decides
    Thread(target=_end_with_parent, daemon=True).start()
    keep_freed_memory()
    root = logging.getLogger()
    root.handlers[:] = [QueueHandler(queue)]
    root.setLevel(logging.INFO)
    torch.set_num_threads(threads)
    _JOB[:] = [job]


def _end_with_parent() -> None:
    """A process whose first process was killed would wait for films for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _classify(film: tuple[str, Path]) -> Outcome:
    return _JOB[0].classify(*film)


class _Relay(logging.Handler):
    """Hands the records of other processes to this one's loggers."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger(record.name).handle(record)


@contextmanager
def _relayed_logs() -> Iterator["Queue[logging.LogRecord]"]:
    """A queue of records that are logged here."""
    queue: Queue[logging.LogRecord] = multiprocessing.get_context("spawn").Queue()
    listener = QueueListener(queue, _Relay())
    listener.start()
    try:
        yield queue
    finally:
        listener.stop()
