"""Several processes at one run: each computes its share of the draws, all move the same unknowns.

Only the derivatives of images, labels and rates, their losses, and scores are sent: kilobytes.
Every row of a reduced table is filled by one process and zero in all others, so the sum over
processes is exact, and a run's bytes do not depend on how many took part.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from gdshare.child_environment import child_environment
from gdshare.errors import RunError

RENDEZVOUS = "GDSHARE_WORKERS"
"""Environment variable with the file in which spawned workers find each other."""
JOIN_TIMEOUT_S = 30.0
"""Seconds that the other workers have to end once the main one has ended; then they are killed."""
POLL_S = 0.05
"""Seconds between two checks whether all workers have arrived."""


@dataclass(frozen=True)
class Workers:
    """The processes at a run, as one of them sees it.

    Attributes:
        rank: of this process, from 0.
        size: number of processes.
    """

    rank: int
    size: int

    @property
    def is_main(self) -> bool:
        """Whether this process writes the run folder and talks to people."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """Which of ``count`` pieces of work are this process's."""
        return range(self.rank, count, self.size)

    def all_reduce(self, table: Tensor) -> Tensor:
        """Sum a table over the processes, in place; each has filled the rows of its share.

        Raises:
            RunError: another process has ended.
        """
        if self.size > 1:
            try:
                dist.all_reduce(table)
            except RuntimeError as error:
                raise RunError(
                    "another process of this run has ended",
                    remedy="see its message, then go on with --resume",
                ) from error
        return table

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return bool(self.all_reduce(torch.tensor([float(flag)])).item())

    def barrier(self) -> None:
        """Wait until all processes have come this far."""
        self.any(False)


ALONE = Workers(0, 1)
"""A run of a single process."""


def join() -> Workers:
    """The workers that ``spawn_workers`` or torchrun started this process with, else ALONE.

    The backend is gloo, which works on any machine: the tensors are tiny and in ordinary memory.

    Raises:
        RunError: the processes did not find each other.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ALONE
    if not dist.is_initialized():
        try:
            _init_process_group(size)
        except (RuntimeError, ValueError) as error:
            raise RunError(
                "the processes of this run did not find each other",
                remedy="see the messages of the others, then start again",
            ) from error
    return Workers(dist.get_rank(), dist.get_world_size())


def _init_process_group(size: int) -> None:
    rendezvous = os.environ.get(RENDEZVOUS)
    if rendezvous is None:  # started by torchrun
        dist.init_process_group("gloo")
        return
    rank = int(os.environ["RANK"])
    _arrival_mark(rendezvous, rank).touch()
    store = dist.FileStore(rendezvous, size)  # type: ignore[attr-defined]
    dist.init_process_group("gloo", store=store, rank=rank, world_size=size)


def _arrival_mark(rendezvous: str, rank: int) -> Path:
    return Path(f"{rendezvous}-{rank}")


@contextmanager
def spawn_workers(size: int, command: Sequence[str]) -> Iterator[None]:
    """Start the other workers on this machine; this process is the main one.

    They meet in a file that only this user can read, and talk over the loopback interface.

    Args:
        size: number of workers, this process included.
        command: what starts another process like this one.

    Raises:
        RunError: a worker ended before the run began.
    """
    folder = tempfile.mkdtemp(prefix="gdshare-workers-")
    shared = {
        "WORLD_SIZE": str(size),
        RENDEZVOUS: str(Path(folder) / "rendezvous"),
        "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo",
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }
    others: list[subprocess.Popen[bytes]] = []
    before = dict(os.environ)
    try:
        for rank in range(1, size):
            environment = child_environment(**shared, RANK=str(rank))
            others.append(subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL))
        _await_arrivals(others, shared[RENDEZVOUS])
        os.environ |= shared | {"RANK": "0"}
        yield
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
        for name in (*shared, "RANK"):
            if name in before:
                os.environ[name] = before[name]
            else:
                os.environ.pop(name, None)
        for other in others:
            _join_or_kill(other)
        shutil.rmtree(folder, ignore_errors=True)


def _await_arrivals(others: Sequence[subprocess.Popen[bytes]], rendezvous: str) -> None:
    """Wait until all others have arrived; gloo itself would wait on for one that has ended."""
    while not all(_arrival_mark(rendezvous, rank).exists() for rank in range(1, len(others) + 1)):
        if any(other.poll() is not None for other in others):
            raise RunError(
                "a worker ended before it began (its message stands above)",
                remedy="start again, or with fewer --workers",
            )
        time.sleep(POLL_S)


def _join_or_kill(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(JOIN_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
