"""Memory and processor time of a federation's processes, by kind, while a round runs."""

import os
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from aggregator.flower.processes import MARK

KINDS = {
    "hospital_node.answer": "answering process",
    "many_nodes.warm ": "answering process",
    "warm_client": "client of warm",
    "benchmarks.many_nodes.node": "node",
    "flower-superlink": "SuperLink",
    "flower-superexec": "SuperExec",
    "flwr-serverapp": "ServerApp",
    "nginx": "nginx",
}
"""A word of the command line -> what it is; the first that fits."""
EVERY_S = 10.0
TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


@dataclass
class Usage:
    """Of all processes of one kind.

    Attributes:
        most: processes at one time.
        memory_mb: the most at one time, each page that is shared divided by those that share it.
        cpu_s: since each began; of processes that ended, what was seen last.
    """

    most: int = 0
    memory_mb: float = 0.0
    cpu_s: float = 0.0


@dataclass
class Watch:
    """What was seen so far.

    Attributes:
        processes: ids of those to look at, whenever it is called.
        usage: kind -> usage.
        all_mb: the most memory of all of them at one time.
    """

    processes: Callable[[], list[int]]
    usage: dict[str, Usage] = field(default_factory=dict)
    all_mb: float = 0.0
    _cpu: dict[tuple[str, int], float] = field(default_factory=dict)

    def look(self) -> None:
        """Look at every process once."""
        count: Counter[str] = Counter()
        memory: Counter[str] = Counter()
        for pid in self.processes():
            with suppress(OSError, ValueError, IndexError):  # it has ended
                kind = _kind(pid)
                own, children = _cpu_seconds(pid)
                memory[kind] += _shared_out_kb(pid)
                count[kind] += 1
                self._cpu[kind, pid] = own
                if kind == "node" or (children and kind == "answering process"):
                    self._cpu["answering process", -pid] = children  # those that it waited for
        for kind, number in count.items():
            usage = self.usage.setdefault(kind, Usage())
            usage.most = max(usage.most, number)
            usage.memory_mb = max(usage.memory_mb, memory[kind] / 1024)
        self.all_mb = max(self.all_mb, memory.total() / 1024)
        for kind, usage in self.usage.items():
            usage.cpu_s = sum(
                seconds
                for (of, number), seconds in self._cpu.items()
                if of == kind and (number < 0 or kind != "answering process")
            )

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look every few seconds within the block, and at its end."""
        ended = threading.Event()

        def again_and_again() -> None:
            while not ended.wait(EVERY_S):
                self.look()

        thread = threading.Thread(target=again_and_again, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.look()


def marked(marks: Collection[str]) -> list[int]:
    """Ids of all processes of these ``Processes``, with what they started; looks once."""
    variables = {f"{MARK}={mark}".encode() for mark in marks}
    pids = []
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError):
            if not variables.isdisjoint((folder / "environ").read_bytes().split(b"\0")):
                pids.append(int(folder.name))
    return pids


def table(watch: Watch) -> str:
    """A line for each kind."""
    lines = [f"{'processes':24}{'at once':>9}{'MB':>9}{'CPU-s':>9}"]
    rows: Mapping[str, Usage] = dict(sorted(watch.usage.items()))
    lines += [
        f"{kind:24}{usage.most:>9}{usage.memory_mb:>9.0f}{usage.cpu_s:>9.0f}"
        for kind, usage in rows.items()
    ]
    return "\n".join([*lines, f"{'all at one time':33}{watch.all_mb:>9.0f}"])


def _kind(pid: int) -> str:
    words = (
        (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    )
    return next((kind for word, kind in KINDS.items() if word in words), "other")


def _cpu_seconds(pid: int) -> tuple[float, float]:
    """Its own, and those of its children that ended."""
    fields = (PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    user, system, children_user, children_system = map(int, fields[11:15])
    return (user + system) / TICKS, (children_user + children_system) / TICKS


def _shared_out_kb(pid: int) -> int:
    """Its memory, each shared page divided by those that share it, kB."""
    for line in (PROC / str(pid) / "smaps_rollup").read_text("ascii", "replace").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0
