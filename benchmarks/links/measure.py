"""A round, or rounds of FedAvg, over a given link, in a federation set up for it alone."""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.links.fedavg import run_fedavg
from benchmarks.links.federation import Federation, Machine, federation
from benchmarks.links.hospitals import Trained, make_hospitals
from benchmarks.links.network import Network, network

SITES = ("north", "south", "east")
POOR = SITES[0]
PROXY, PROXY_PORT, SUPERLINK_PORT = "proxy", 3128, 8000
CUT_S, CUT_KBIT, SLOW_KBIT, LOSS = 60.0, 64, 1000, 5
FULL_BYTES = 6_000
LIMIT_S = 560.0
LINKS = ("sound", "1 Mbit/s", "5 % loss", "60 s cut", "forward proxy")
"""Of ``POOR``, one hospital of three; the other two have sound links."""


@dataclass(frozen=True)
class Outcome:
    """A round, or rounds of FedAvg.

    Attributes:
        what: ``a round``, or FedAvg and how many.
        network: that is trained.
        link: of ``POOR``.
        closed: whether all sites' bundles and test counts are in the result.
        missing: counts that are not, as SITE: what.
        seconds: from the command to its end.
        bundle_bytes: of a bundle's files; 0 for FedAvg.
        received, sent: bytes of the poor site's interface in that time.
    """

    what: str
    network: str
    link: str
    closed: bool
    missing: tuple[str, ...]
    seconds: float
    bundle_bytes: int
    received: int
    sent: int


@contextmanager
def _lab(network_name: Trained) -> Iterator[tuple[Network, Federation]]:
    with (
        tempfile.TemporaryDirectory(prefix="gdshare-links-") as folder,
        network(["aggregator", PROXY, *SITES]) as net,
    ):
        hospitals = make_hospitals(Path(folder) / "hospitals", SITES, network_name)
        machine = Machine(net.prefix("aggregator"), net.address("aggregator"))
        place = Path(folder) / "federation"
        with federation(place, hospitals, machine, SUPERLINK_PORT) as made:
            yield net, made


def measure_round(network_name: Trained, link: str) -> Outcome:
    """Hold a round while the link of ``POOR`` is ``link``, of ``LINKS``."""
    with _lab(network_name) as (net, made), _proxy(net, made, link) as variables:
        for site in SITES:
            machine = Machine(net.prefix(site), net.address(site))
            made.start_node(site, machine, variables if site == POOR else {})
        made.wait_for_nodes()
        _spoil(net, link)
        before, began = net.traffic(POOR), time.monotonic()
        out = made.folder / "round"
        with _aggregate(made, out) as process:
            if link == "60 s cut":
                _cut(net, made, process)
            process.communicate(timeout=LIMIT_S)
        seconds, traffic = time.monotonic() - began, net.traffic(POOR) - before
        missing = ["the round"]
        if process.returncode == 0:
            result = json.loads((out / "round.json").read_bytes())
            missing = [f"{lack['site']}: {lack['what']}" for lack in result["missing"]]
            missing += [f"{site}: bundle" for site in SITES if site not in result["bundles"]]
        size = made.hospitals.bundle_bytes
        spent = (round(seconds, 1), size, traffic.received, traffic.sent)
        return Outcome("a round", network_name, link, not missing, tuple(missing), *spent)


def measure_fedavg(network_name: Trained, link: str, rounds: int) -> Outcome:
    """Run FedAvg while the link of ``POOR`` is ``link``, of ``LINKS``."""
    with _lab(network_name) as (net, made):
        _spoil(net, link)
        run = run_fedavg(made, net, network_name, rounds)
        traffic = run.traffic[POOR]
        spent = (round(run.seconds, 1), 0, traffic.received, traffic.sent)
        return Outcome(f"FedAvg, {rounds} rounds", network_name, link, True, (), *spent)


def _spoil(net: Network, link: str) -> None:
    if link == "1 Mbit/s":
        net.limit(POOR, SLOW_KBIT)
    elif link == "5 % loss":
        net.lose(POOR, LOSS)
    elif link == "60 s cut":
        net.limit(POOR, CUT_KBIT)


@contextmanager
def _proxy(net: Network, made: Federation, link: str) -> Iterator[dict[str, str]]:
    """The variables by which a node finds the proxy; empty, and no proxy, with other links."""
    if link != "forward proxy":
        yield {}
        return
    net.allow_only(POOR, PROXY)
    machine = Machine(net.prefix(PROXY), net.address(PROXY))
    words = ("benchmarks.links.forward_proxy", machine.address, str(PROXY_PORT))
    process = subprocess.Popen(
        machine.module(*words),
        env=machine.environment(made.folder, {}),
        stdout=subprocess.DEVNULL,
    )
    try:
        yield {"HTTPS_PROXY": f"http://{machine.address}:{PROXY_PORT}"}
    finally:
        process.kill()
        process.wait()


@contextmanager
def _aggregate(made: Federation, out: Path) -> "Iterator[subprocess.Popen[bytes]]":
    process = subprocess.Popen(
        made.round_command(out, "--ensemble", "1"),
        env=made.environment(),
        cwd=made.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _cut(net: Network, made: Federation, process: "subprocess.Popen[bytes]") -> None:
    """Cut the link for a minute while the bundle is on its way; it is fast afterwards."""
    log = made.logs[POOR]
    while process.poll() is None:
        start = net.traffic(POOR)
        time.sleep(1.0)
        sent = (net.traffic(POOR) - start).sent
        if sent > FULL_BYTES and "handed over" in log.read_text(encoding="utf-8"):
            break
    net.cut(POOR)
    time.sleep(CUT_S)
    net.mend(POOR)
    net.unlimit(POOR)
