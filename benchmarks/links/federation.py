"""The federation of the aggregator's guide: a SuperLink with node keys, nginx before it, and nodes.

Each machine may be a network namespace, and have a Python, and so a Flower, of its own.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from aggregator.flower.cli import CONNECTION, FlowerCli, SuperLinkAddress, quiet_environment
from aggregator.flower.processes import Processes, together
from benchmarks.links.credentials import write_credentials
from benchmarks.links.hospitals import Hospitals
from gdshare.errors import FederationError

ROOT = Path(__file__).parents[2]
NGINX = ROOT / "docs" / "deploy" / "superlink-nginx.conf"
DOOR = 8443
START_S = 120.0
STOP_S = 20.0
POLL_S = 0.2


@dataclass(frozen=True)
class Machine:
    """Where a command runs.

    Attributes:
        prefix: words before it, such as ``ip netns exec NAME``.
        address: at which other machines reach this one.
        python: interpreter of the environment whose Flower it runs.
    """

    prefix: tuple[str, ...] = ()
    address: str = "127.0.0.1"
    python: Path = field(default_factory=lambda: Path(sys.executable))

    def program(self, name: str, *words: str) -> list[str]:
        """A command that Flower installed."""
        return [*self.prefix, str(self.python.parent / name), *words]

    def module(self, name: str, *words: str) -> list[str]:
        """A module of ours, run by this machine's Python."""
        return [*self.prefix, str(self.python), "-P", "-m", name, *words]

    def environment(self, home: Path, more: Mapping[str, str]) -> dict[str, str]:
        """Of its processes: its own Flower first on the path, and this checkout's code."""
        path = f"{self.python.parent}{os.pathsep}{os.environ.get('PATH', '')}"
        quiet = quiet_environment(home) | {"FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.2"}
        return quiet | {"PATH": path, "PYTHONPATH": str(ROOT)} | dict(more)


@dataclass
class Federation:
    """Servers and nodes; ``federation`` makes one and ends all its processes.

    Attributes:
        folder: credentials, logs, states, Flower's own files.
        logs: of the nodes, by site.
        hospitals: whose nodes may be started.
        aggregator: the machine of SuperLink, nginx and rounds.
        port: of the SuperLink, on that machine's loopback.
        door: of nginx; None: nodes reach the SuperLink itself.
        database: the SuperLink's.
        home: Flower's folder of the aggregator's commands; None: in ``folder``.
    """

    folder: Path
    hospitals: Hospitals
    aggregator: Machine
    port: int
    door: int | None
    database: Path
    home: Path | None = None
    servers: Processes = field(default_factory=Processes)
    nodes: dict[str, Processes] = field(default_factory=dict)
    logs: dict[str, Path] = field(default_factory=dict)

    @property
    def superlink(self) -> SuperLinkAddress:
        """As the aggregator reaches it."""
        return SuperLinkAddress(f"127.0.0.1:{self.port}", False, self.folder / "ca.pem")

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Of the aggregator's processes."""
        return self.aggregator.environment(self.home or self.folder / "flower", more or {})

    def start_superlink(self) -> None:
        """Start it, as the guide does, and wait until it listens."""
        self.servers = Processes()
        command = self.aggregator.program(
            "flower-superlink",
            *("--host", "127.0.0.1", "--port", str(self.port)),
            *("--ssl-ca-certfile", str(self.folder / "ca.pem")),
            *("--ssl-certfile", str(self.folder / "server.pem")),
            *("--ssl-keyfile", str(self.folder / "server.key")),
            *("--enable-supernode-auth", "--database", str(self.database)),
            "--disable-runtime-dependency-installation",
        )
        log = self.folder / "superlink.log"
        self.servers.start(command, self.environment(), log)
        self.until(partial(_has, log, "Uvicorn running"), self.servers)

    def start_door(self) -> None:
        """Start nginx with the configuration that is shipped, fitted to this folder."""
        server = NGINX.read_text(encoding="utf-8")
        for old, new in {
            "/etc/gdshare": str(self.folder),
            "listen 8443": f"listen {self.aggregator.address}:{self.door}",
            "127.0.0.1:8000": f"127.0.0.1:{self.port}",
        }.items():
            server = server.replace(old, new)
        (self.folder / "server.conf").write_text(server, encoding="utf-8")
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"{kind}_temp_path {self.folder}/{kind};" for kind in kinds)
        (self.folder / "nginx.conf").write_text(
            f"daemon off; user root; pid {self.folder}/nginx.pid; error_log stderr;\n"
            f"worker_processes 1;\nevents {{}}\nhttp {{ access_log {self.folder}/access.log; "
            f"{temporary} include {self.folder}/server.conf; }}\n",
            encoding="utf-8",
        )
        command = [*self.aggregator.prefix, "nginx", "-c", str(self.folder / "nginx.conf")]
        self.servers.start(command, self.environment(), self.folder / "nginx.log")

    def register(self, site: str) -> None:
        """Register a hospital's node key at the SuperLink."""
        FlowerCli.connect(self.folder / "flower", self.superlink)
        key = str(self.folder / f"{site}.node.pub")
        self.flwr("supernode", "register", key, CONNECTION, "--name", site)

    def flwr(self, *words: str) -> str:
        """Run one of Flower's commands at the aggregator; returns what it prints."""
        return self._run(self.aggregator.program("flwr", *words), 60.0)

    def aggregate(self, out: Path, *words: str, seconds: float = 600.0) -> str:
        """Hold a round; returns its table.

        Raises:
            FederationError: it failed; the message has its output.
        """
        return self._run(self.round_command(out, *words), seconds)

    def round_command(self, out: Path, *words: str) -> list[str]:
        """The command of a round."""
        return self.aggregator.module(
            "gdshare",
            *("aggregate", "--superlink", self.superlink.address),
            *("--root-certificates", str(self.folder / "ca.pem")),
            *("--trust", str(self.hospitals.trust), "--out", str(out)),
            *("--sites", str(len(self.nodes)), *words),
        )

    def start_node(
        self,
        site: str,
        machine: Machine,
        more: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Start a hospital's node.

        Args:
            site: short name.
            machine: where.
            more: variables of its environment, such as a proxy.
            folder: of its credentials, settings, state and log; None: where the SuperLink's are.
        """
        home = folder or self.folder
        settings = home / f"{site}.toml"
        values = {
            "outbox": self.hospitals.outbox(site),
            "state": home / f"{site}-state",
            "cohort": self.hospitals.cohort,
            "trust": self.hospitals.trust,
        }
        lines = [f'{name} = "{value}"' for name, value in values.items()]
        settings.write_text(
            "\n".join([*lines, "minimum-films = 4", "suppress-below = 1\n"]), encoding="utf-8"
        )
        port = self.port if self.door is None else self.door
        command = machine.module(
            "hospital_node",
            *(str(settings), "--superlink", f"{self.aggregator.address}:{port}"),
            *("--root-certificates", str(home / "ca.pem")),
            *("--client-certificate", str(home / f"{site}.pem")),
            *("--client-key", str(home / f"{site}.tls.key")),
            *("--auth-supernode-private-key", str(home / f"{site}.node")),
        )
        environment = machine.environment(home / f"{site}-flower", more or {})
        self.logs[site] = home / f"{site}.log"
        self.nodes[site] = Processes()
        self.nodes[site].start(command, environment, self.logs[site])

    def wait_for_nodes(self) -> None:
        """Wait until every node that was started is connected."""
        for site, processes in self.nodes.items():
            self.until(partial(_has, self.logs[site], "connected to"), processes)

    def stop_nodes(self) -> None:
        """End every node, all at the same time."""
        for processes in self.nodes.values():
            processes.terminate()
        for processes in self.nodes.values():
            processes.stop()
        self.nodes.clear()

    def stop(self) -> None:
        """End the nodes, then the servers."""
        self.stop_nodes()
        self.servers.stop()

    def until(self, true: Callable[[], bool], processes: Processes) -> None:
        """Wait for something, while some processes live."""
        end = time.monotonic() + START_S
        while not true():
            processes.require_alive()
            if time.monotonic() > end:
                raise FederationError("a part did not start in time", self.folder, "see its log")
            time.sleep(POLL_S)

    def _run(self, command: Sequence[str], seconds: float) -> str:
        done = subprocess.run(
            command,
            env=self.environment(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        if done.returncode:
            raise FederationError(f"status {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout


def _has(log: Path, words: str) -> bool:
    return words in log.read_text(encoding="utf-8", errors="replace")


@contextmanager
def federation(
    folder: Path,
    hospitals: Hospitals,
    aggregator: Machine,
    port: int,
    door: int | None = DOOR,
    database: Path | None = None,
    registered: bool = True,
) -> Iterator[Federation]:
    """A SuperLink that knows the hospitals' node keys, and nginx; no node yet.

    Not ``registered``: whoever makes it registers the keys.
    """
    write_credentials(folder, hospitals.sites, sorted({"127.0.0.1", aggregator.address}))
    database = database or folder / "superlink.db"
    made = Federation(folder, hospitals, aggregator, port, door, database)
    with together():  # SIGTERM ends the block in order
        try:
            made.start_superlink()
            if door is not None:
                made.start_door()
            for site in hospitals.sites if registered else ():
                made.register(site)
            yield made
        finally:
            made.stop()
