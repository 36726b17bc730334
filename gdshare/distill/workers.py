"""Several processes at one run: each computes its share of the draws, all move the same unknowns.

Nothing is sent between them but the derivatives of the images, labels and rates, their losses, and
scores: kilobytes. Every row of a gathered table is filled by one process and zero in all others, so
the sum over processes is exact, and a run's bytes do not depend on how many took part.
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

from gdshare.errors import RunError

MEETING = "GDSHARE_CREW"
"""Environment variable with the file in which recruited processes find each other."""
JOIN_TIMEOUT_S = 30.0
"""Seconds that the others of a crew get to end by themselves once the first has ended."""
POLL_S = 0.05
"""Seconds between two looks at whether all have turned up."""


@dataclass(frozen=True)
class Workers:
    """The processes at a run, as one of them sees it.

    Attributes:
        rank: of this process, from 0; the first keeps the run folder.
        size: of all.
    """

    rank: int
    size: int

    @property
    def is_main(self) -> bool:
        """Whether this process keeps the run folder and speaks to people."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """Which of ``count`` pieces of work are this process's."""
        return range(self.rank, count, self.size)

    def gathered(self, table: Tensor) -> Tensor:
        """Put together a table whose rows the processes filled by ``share``, the rest zero.

        Raises:
            RunError: another process is gone.
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
        """Whether the flag is up in any process."""
        return bool(self.gathered(torch.tensor([float(flag)])).item())

    def wait(self) -> None:
        """Go on only when all have come this far."""
        self.any(False)


ALONE = Workers(0, 1)


def join() -> Workers:
    """The crew that ``spawn_workers`` or torchrun started this process for, else ALONE.

    Uses gloo, which works on any machine: what is sent is tiny and lies in ordinary memory.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ALONE
    if not dist.is_initialized():
        try:
            _meet(size)
        except (RuntimeError, ValueError) as error:
            raise RunError(
                "the processes of this run did not find each other",
                remedy="see the messages of the others, then start again",
            ) from error
    return Workers(dist.get_rank(), dist.get_world_size())


def _meet(size: int) -> None:
    place = os.environ.get(MEETING)
    if place is None:
        dist.init_process_group("gloo")
        return
    rank = int(os.environ["RANK"])
    _turned_up(place, rank).touch()
    store = dist.FileStore(place, size)  # type: ignore[attr-defined]
    dist.init_process_group("gloo", store=store, rank=rank, world_size=size)


def _turned_up(place: str, rank: int) -> Path:
    return Path(f"{place}-{rank}")


@contextmanager
def spawn_workers(size: int, command: Sequence[str]) -> Iterator[None]:
    """Start the other processes of a crew on this machine, and let this one be its first.

    They meet in a file that only this user can read, and talk over the loopback interface.

    Args:
        size: of the crew, this process included.
        command: what starts another process like this one.
    """
    folder = tempfile.mkdtemp(prefix="gdshare-crew-")
    shared = {
        "WORLD_SIZE": str(size),
        MEETING: str(Path(folder) / "meeting"),
        "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo",
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }
    others: list[subprocess.Popen[bytes]] = []
    before = dict(os.environ)
    try:
        for rank in range(1, size):
            own = before | shared | {"RANK": str(rank)}
            others.append(subprocess.Popen(command, env=own, stdin=subprocess.DEVNULL))
        _await(others, shared[MEETING])
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
            _ended(other)
        shutil.rmtree(folder, ignore_errors=True)


def _await(others: Sequence[subprocess.Popen[bytes]], place: str) -> None:
    """Wait until all are ready to meet: where they meet, nobody would notice one that is gone."""
    while not all(_turned_up(place, rank).exists() for rank in range(1, len(others) + 1)):
        if any(other.poll() is not None for other in others):
            raise RunError(
                "a worker ended before it began (its message stands above)",
                remedy="start again, or with fewer --workers",
            )
        time.sleep(POLL_S)


def _ended(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(JOIN_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
