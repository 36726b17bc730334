"""A SuperLink and one SuperNode per hospital on this machine's loopback, for trials and demos.

Without TLS and without node authentication: only this machine can reach it, but any program on it
can.
"""

import json
import socket
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from aggregator.flower.cli import FlowerCli, SuperLinkAddress, quiet_environment
from aggregator.flower.processes import Processes, together
from gdshare.errors import FederationError

LOOPBACK = "127.0.0.1"
START_S = 120.0
POLL_S = 0.3


@dataclass(frozen=True)
class SiteNode:
    """One hospital of a local federation.

    Attributes:
        name: for its files; its bundle has the name that counts.
        outbox: folder of the bundle it may send.
        cohort: its validation and test films may be counted; None: no counting.
        minimum_films: a split with fewer is not counted.
        trust: public keys of the round's hospitals, for the node.
        suppress_below: no cell of counts has fewer films than this, unless none.
        device: cpu or cuda.
    """

    name: str
    outbox: Path
    cohort: Path | None = None
    trust: Path | None = None
    minimum_films: int = 10
    suppress_below: int = 5
    device: str = "cpu"


@contextmanager
def local_federation(sites: Sequence[SiteNode], folder: Path) -> Iterator[SuperLinkAddress]:
    """Run a SuperLink and the sites' SuperNodes for the length of the block.

    Args:
        sites: at least one, with different names.
        folder: for settings, logs, ledgers and Flower's own files; made if missing.

    Yields:
        The SuperLink's address, once every node is connected.

    Raises:
        FederationError: a process ended early or was not up within two minutes.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    [port] = free_ports(1)
    superlink = SuperLinkAddress(f"{LOOPBACK}:{port}", insecure=True)
    with together() as processes:
        _start_superlink(processes, folder, port)
        _wait_until_up(processes, superlink)
        for site in sites:
            _start_node(processes, folder, site, superlink)
        _wait_for_nodes(processes, superlink, folder, len(sites))
        yield superlink


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on at the moment, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for port in sockets:
            port.bind((LOOPBACK, 0))
        return [int(port.getsockname()[1]) for port in sockets]


def _environment(home: Path) -> dict[str, str]:
    """Quiet, and polling for work more often than Flower's once a second."""
    return {**quiet_environment(home), "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.2"}


def _start_superlink(processes: Processes, folder: Path, port: int) -> None:
    command = [
        str(Path(sysconfig.get_path("scripts")) / "flower-superlink"),
        "--insecure",
        "--host",
        LOOPBACK,
        "--port",
        str(port),
        "--disable-runtime-dependency-installation",
    ]
    processes.start(command, _environment(folder / "superlink"), folder / "superlink.log")


def _start_node(
    processes: Processes, folder: Path, site: SiteNode, superlink: SuperLinkAddress
) -> None:
    settings = folder / f"{site.name}.toml"
    values: dict[str, str | int] = {
        "outbox": str(site.outbox.absolute()),
        "state": str(folder / site.name),
        "minimum-films": site.minimum_films,
        "suppress-below": site.suppress_below,
        "device": site.device,
    }
    for name, path in (("cohort", site.cohort), ("trust", site.trust)):
        if path is not None:
            values[name] = str(path.absolute())
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in values.items()]
    settings.write_text("".join(lines), encoding="utf-8")
    address = ["--superlink", superlink.address, "--insecure"]
    command = [sys.executable, "-P", "-m", "hospital_node", str(settings), *address]
    processes.start(command, _environment(folder), folder / f"{site.name}.log")


def _wait_until_up(processes: Processes, superlink: SuperLinkAddress) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        processes.require_alive()
        try:
            with urllib.request.urlopen(f"http://{superlink.address}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(POLL_S)
    raise FederationError("the SuperLink did not come up", remedy="see superlink.log")


def _wait_for_nodes(
    processes: Processes, superlink: SuperLinkAddress, folder: Path, count: int
) -> None:
    cli = FlowerCli.connect(folder / "cli", superlink)
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        processes.require_alive()
        if cli.nodes_online() >= count:
            return
        time.sleep(POLL_S)
    raise FederationError(f"not all {count} nodes connected", remedy=f"see the logs in {folder}")
