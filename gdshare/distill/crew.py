"""Several processes at one run: each computes its share of the draws, all move the same unknowns.

Nothing is sent between them but the derivatives of the images, labels and rates, their losses, and
scores: kilobytes. Every row of a gathered table is filled by one process and zero in all others, so
the sum over processes is exact, and a run's bytes do not depend on how many took part.
"""

import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from gdshare.errors import RunError

LOOPBACK = "127.0.0.1"
PATIENCE = 30.0
"""Seconds that the others of a crew get to end by themselves once the first has ended."""


@dataclass(frozen=True)
class Crew:
    """The processes at a run, as one of them sees it.

    Attributes:
        rank: of this process, from 0; the first keeps the run folder.
        size: of all.
    """

    rank: int
    size: int

    @property
    def leads(self) -> bool:
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
                    "another process of this run has ended; see its message, then go on with "
                    "--resume"
                ) from error
        return table

    def first(self, number: int) -> int:
        """The number that the first process was given, in every process; 63 bits at most."""
        return int(self.gathered(torch.tensor([number if self.leads else 0])).item())

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process."""
        return bool(self.gathered(torch.tensor([float(flag)])).item())

    def wait(self) -> None:
        """Go on only when all have come this far."""
        self.any(False)


ALONE = Crew(0, 1)


def join() -> Crew:
    """The crew that ``recruited`` or torchrun started this process for, else ALONE.

    Uses gloo, which works on any machine: what is sent is tiny and lies in ordinary memory.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ALONE
    if not dist.is_initialized():
        dist.init_process_group("gloo")
    return Crew(dist.get_rank(), dist.get_world_size())


@contextmanager
def recruited(size: int, command: Sequence[str]) -> Iterator[None]:
    """Start the other processes of a crew on this machine, and let this one be its first.

    They meet on a free port of the loopback interface; see ``join``.

    Args:
        size: of the crew, this process included.
        command: what starts another process like this one.
    """
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = probe.getsockname()[1]
    shared = {
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": LOOPBACK,
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }
    others: list[subprocess.Popen[bytes]] = []
    before = dict(os.environ)
    try:
        for rank in range(1, size):
            own = before | shared | {"RANK": str(rank)}
            others.append(subprocess.Popen(command, env=own, stdin=subprocess.DEVNULL))
        os.environ |= shared | {"RANK": "0"}
        yield
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
        for name in (*shared, "RANK"):
            os.environ.pop(name, None)
        for other in others:
            _ended(other)


def _ended(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
