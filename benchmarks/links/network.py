"""Network namespaces around a router, and what may go wrong on a link.

::

    aggregator 10.77.0.2 --- router --- north 10.77.1.2
                                   `--- south 10.77.2.2

Each machine is a namespace with one interface. Bandwidth is limited by a token bucket (tc tbf) in
both directions. Loss and cuts are rules of the router's firewall (nft), which counts and drops what
it forwards: the kernel's own emulation, netem, is not in every kernel. Needs root.
"""

import json
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from aggregator.flower.processes import ending_in_order

PROGRAMS = ("ip", "tc", "nft")
MARK = "gds-"
INTERFACE = "eth0"
BURST_BYTES, QUEUE_MS = 16_384, 400
TABLE = "inet links"


@dataclass(frozen=True)
class Traffic:
    """Bytes through a machine's interface, Ethernet headers included.

    Attributes:
        received: since the interface exists.
        sent: likewise.
    """

    received: int
    sent: int

    def __sub__(self, earlier: "Traffic") -> "Traffic":
        """What came and went since."""
        return Traffic(self.received - earlier.received, self.sent - earlier.sent)

    @property
    def total(self) -> int:
        """In both directions."""
        return self.received + self.sent


class Network:
    """Machines around a router; ``network`` makes and removes it."""

    def __init__(self, machines: Sequence[str]) -> None:
        """Nothing exists yet; the names of its namespaces are drawn."""
        self.machines = tuple(machines)
        self._mark = f"{MARK}{os.getpid()}-{uuid.uuid4().hex[:4]}"

    @property
    def router(self) -> str:
        """The namespace in the middle."""
        return f"{self._mark}-router"

    def namespace(self, machine: str) -> str:
        """Its name in ``ip netns``."""
        return f"{self._mark}-{machine}"

    def address(self, machine: str) -> str:
        """IPv4."""
        return f"10.77.{self.machines.index(machine)}.2"

    def prefix(self, machine: str) -> tuple[str, ...]:
        """The words by which a command runs on that machine."""
        return ("ip", "netns", "exec", self.namespace(machine))

    def traffic(self, machine: str) -> Traffic:
        """What went through its interface so far."""
        shown = _run("ip", "-n", self.namespace(machine), "-s", "-j", "link", "show", INTERFACE)
        counted = json.loads(shown)[0]["stats64"]
        return Traffic(int(counted["rx"]["bytes"]), int(counted["tx"]["bytes"]))

    def limit(self, machine: str, kbit: int) -> None:
        """Let no more than ``kbit`` kbit/s pass, in each direction."""
        shaping = ("root", "tbf", "rate", f"{kbit}kbit", "burst", str(BURST_BYTES))
        queue = ("latency", f"{QUEUE_MS}ms")
        for where, interface in (
            (self.namespace(machine), INTERFACE),
            (self.router, self._port(machine)),
        ):
            _run("tc", "-n", where, "qdisc", "replace", "dev", interface, *shaping, *queue)

    def lose(self, machine: str, percent: int) -> None:
        """Drop that share of the packets, drawn at random, in each direction."""
        self._drop(machine, f"numgen random mod 100 < {percent}")

    def cut(self, machine: str) -> None:
        """Let nothing through, without a word to either side."""
        self._drop(machine, "")

    def allow_only(self, machine: str, through: str) -> None:
        """Let a machine reach one other machine and none else: a hospital's firewall."""
        self._drop(machine, "", f"{{}} addr != {self.address(through)}")

    def mend(self, machine: str) -> None:
        """End loss, cuts and prohibitions; a limit of bandwidth stays."""
        _run("nft", "flush chain", *TABLE.split(), machine, namespace=self.router)

    def unlimit(self, machine: str) -> None:
        """End the limit of bandwidth."""
        for where, interface in (
            (self.namespace(machine), INTERFACE),
            (self.router, self._port(machine)),
        ):
            with suppress(subprocess.CalledProcessError):  # there was none
                _run("tc", "-n", where, "qdisc", "del", "dev", interface, "root")

    def dropped(self, machine: str) -> int:
        """Packets that the rules on its link dropped."""
        shown = _run("nft", "-j", "list chain", *TABLE.split(), machine, namespace=self.router)
        rules = [item["rule"] for item in json.loads(shown)["nftables"] if "rule" in item]
        return sum(
            int(part["counter"]["packets"])
            for rule in rules
            for part in rule["expr"]
            if "counter" in part
        )

    def _drop(self, machine: str, when: str, other: str = "") -> None:
        port = self._port(machine)
        for side, theirs in (("iifname", "ip d"), ("oifname", "ip s")):
            condition = other.replace("{} ", theirs) if other else when
            rule = f"add rule {TABLE} {machine} {side} {port} {condition} counter drop"
            _run("nft", rule, namespace=self.router)

    def _port(self, machine: str) -> str:
        return f"port{self.machines.index(machine)}"

    def make(self) -> None:
        """Make namespaces, links and routes."""
        _run("ip", "netns", "add", self.router)
        _run("sysctl", "-qw", "net.ipv4.ip_forward=1", namespace=self.router)
        lines = [f"add table {TABLE}"]
        lines.append(f"add chain {TABLE} forward {{ type filter hook forward priority 0; }}")
        for machine in self.machines:
            self._make_machine(machine)
            lines += [
                f"add chain {TABLE} {machine}",
                f"add rule {TABLE} forward jump {machine}",
            ]
        _run("nft", "\n".join(lines), namespace=self.router)

    def _make_machine(self, machine: str) -> None:
        name, port = self.namespace(machine), self._port(machine)
        gateway = self.address(machine).removesuffix("2") + "1"
        _run("ip", "netns", "add", name)
        peer = ("peer", "name", INTERFACE, "netns", name)
        _run("ip", "-n", self.router, "link", "add", port, "type", "veth", *peer)
        _run("ip", "-n", self.router, "addr", "add", f"{gateway}/24", "dev", port)
        _run("ip", "-n", self.router, "link", "set", port, "up")
        _run("ip", "-n", name, "addr", "add", f"{self.address(machine)}/24", "dev", INTERFACE)
        # Packets as on a wire: one segment each, with headers of its own.
        _run("ip", "-n", name, "link", "set", INTERFACE, "gso_max_segs", "1")
        _run("ip", "-n", self.router, "link", "set", port, "gso_max_segs", "1")
        _run("ip", "-n", name, "link", "set", INTERFACE, "up")
        _run("ip", "-n", name, "link", "set", "lo", "up")
        _run("ip", "-n", name, "route", "add", "default", "via", gateway)

    def remove(self) -> None:
        """Remove all namespaces, and with them their links."""
        for name in (self.router, *map(self.namespace, self.machines)):
            with suppress(subprocess.CalledProcessError):  # it was not made
                _run("ip", "netns", "del", name)


@contextmanager
def network(machines: Sequence[str]) -> Iterator[Network]:
    """A network for the length of the block."""
    _sweep()
    made = Network(machines)
    with ending_in_order():  # on SIGTERM too
        try:
            made.make()
            yield made
        finally:
            made.remove()


def impossible() -> str:
    """Why no namespaces can be made here; empty if they can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "only root makes network namespaces"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (make system)"
    try:
        with network(["probe"]) as tried:
            tried.limit("probe", 1000)
            tried.lose("probe", 5)
    except subprocess.CalledProcessError as error:
        return f"this kernel does not do {' '.join(error.cmd)}: {error.stderr.strip()}"
    return ""


def left_behind() -> list[str]:
    """Namespaces of networks that exist, of this process or another."""
    folder = Path("/run/netns")
    return sorted(path.name for path in folder.glob(f"{MARK}*")) if folder.is_dir() else []


def _sweep() -> None:
    """Remove the namespaces of processes that were killed."""
    for name in left_behind():
        owner = re.match(rf"{MARK}(\d+)-", name)
        if owner and not Path("/proc", owner[1]).exists():
            with suppress(subprocess.CalledProcessError):  # another process was faster
                _run("ip", "netns", "del", name)


def _run(*words: str, namespace: str = "") -> str:
    """Run a program and return what it prints.

    Raises:
        CalledProcessError: it failed.
    """
    prefix = ("ip", "netns", "exec", namespace) if namespace else ()
    return subprocess.run(
        [*prefix, *words], check=True, capture_output=True, text=True, timeout=30
    ).stdout
