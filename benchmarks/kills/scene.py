"""A SuperLink, three nodes and ``gdshare aggregate``, each started again when it has died.

In place of systemd, whose units (docs/deploy) have ``Restart=always``: ``tend`` starts whatever has
died, and for a killed ``gdshare aggregate`` the operator's ``gdshare aggregate --resume``.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from aggregator.flower.cli import quiet_environment
from aggregator.flower.folder import ORDER, RESULT
from aggregator.flower.local_federation import free_ports
from benchmarks.links.hospitals import Hospitals, make_hospitals

SITES = ("east", "north", "west")
MARK = "GDSHARE_KILLS"
RESTART_S = 1.0
START_S = 120.0
STOP_S = 15.0
ROOT = Path(__file__).parents[2]
SERVER_APP, ANSWER = "flwr-serverapp", "hospital_node.answer"


@dataclass
class Scene:
    """The federation.

    Attributes:
        folder: logs, states, rounds.
        hospitals: whose nodes run.
        port: of the SuperLink.
        mark: in the environment of every process, by which all are found.
        running: name -> process; names are ``superlink``, ``aggregate`` and the sites.
        died: name -> when it was seen dead.
        round: the folder of the round that is held; None: none is.
        failures: ends of ``gdshare aggregate`` that were no kill, with its status.
        killed_aggregate: whether its last end was a kill.
        seed: of the round.
    """

    folder: Path
    hospitals: Hospitals
    port: int
    mark: str
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    died: dict[str, float] = field(default_factory=dict)
    round: Path | None = None
    failures: list[str] = field(default_factory=list)
    killed_aggregate: bool = False
    seed: int = 0

    def start_servers(self) -> None:
        """The SuperLink and the nodes."""
        for name in ("superlink", *SITES):
            self._start(name)
        end = time.monotonic() + START_S
        while not self._answers() and time.monotonic() < end:
            time.sleep(0.2)

    def begin(self, number: int) -> None:
        """Have a round held, with models that nobody has counted yet."""
        self.round, self.seed = self.folder / f"round-{number}", number
        self._aggregate()

    def _answers(self) -> bool:
        """Whether the SuperLink takes connections."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

    @property
    def closed(self) -> bool:
        """Whether the round has its result, and the command has ended."""
        process = self.running.get("aggregate")
        ended = process is None or process.poll() is not None
        return self.round is not None and (self.round / RESULT).exists() and ended

    def tend(self) -> None:
        """Start again what has died."""
        now = time.monotonic()
        for name, process in list(self.running.items()):
            if process.poll() is None:
                continue
            if now - self.died.setdefault(name, now) < RESTART_S:
                continue
            del self.died[name]
            if name != "aggregate":
                self._start(name)
            elif self.round is not None and not (self.round / RESULT).exists():
                if not self.killed_aggregate:
                    self.failures.append(f"{self.round.name}: status {process.returncode}")
                self.killed_aggregate = False
                self._aggregate()

    def victims(self) -> dict[str, list[int]]:
        """What may be killed now: kind -> process ids."""
        found: dict[str, list[int]] = {"node": []}
        for name, process in self.running.items():
            if process.poll() is None:
                kind = "node" if name in SITES else name
                found.setdefault(kind, []).append(process.pid)
        for kind, word in (("ServerApp", SERVER_APP), ("answer", ANSWER)):
            found[kind] = [pid for pid, words in self.processes().items() if word in words]
        return {kind: pids for kind, pids in found.items() if pids}

    def kill(self, kind: str, pid: int) -> None:
        """``kill -9``."""
        self.killed_aggregate = self.killed_aggregate or kind == "aggregate"
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def processes(self) -> Mapping[int, str]:
        """Every process of the scene: id -> command line."""
        variable = f"{MARK}={self.mark}".encode()
        found: dict[int, str] = {}
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if variable in (path / "environ").read_bytes().split(b"\0"):
                    words = (path / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(path.name)] = words.decode(errors="replace")
        return found

    def stop(self) -> list[str]:
        """End everything; returns the command lines of processes that outlived their parents."""
        for process in self.running.values():
            process.terminate()
        end = time.monotonic() + STOP_S
        while self.processes() and time.monotonic() < end:
            for process in self.running.values():
                process.poll()
            time.sleep(0.2)
        left = self.processes()
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.running.values():
            process.wait()
        return list(left.values())

    def _start(self, name: str) -> None:
        if name == "superlink":
            words = [_program("flower-superlink"), "--insecure", "--host", "127.0.0.1", "--port"]
            words += [str(self.port), "--disable-runtime-dependency-installation"]
            words += ["--database", str(self.folder / "superlink.db")]
        else:
            settings = self._settings(name)
            words = [sys.executable, "-P", "-m", "hospital_node", str(settings), "--insecure"]
            words += ["--superlink", f"127.0.0.1:{self.port}"]
        self._run(name, words)

    def _aggregate(self) -> None:
        """The round, or, once there is an order for it, the rest of it."""
        begun = self.round is not None and (self.round / ORDER).exists()
        more = ("--resume",) if begun else ("--seed", str(self.seed))
        words = [sys.executable, "-P", "-m", "gdshare", "aggregate", "--insecure"]
        words += ["--superlink", f"127.0.0.1:{self.port}", "--trust", str(self.hospitals.trust)]
        words += ["--out", str(self.round), "--sites", "3", "--minimum", "3", "--ensemble", "1"]
        words += ["--timeout", "300", "--deadline", "600", *more]
        self._run("aggregate", words)

    def _settings(self, site: str) -> Path:
        path = self.folder / f"{site}.toml"
        values = {
            "outbox": str(self.hospitals.outbox(site)),
            "state": str(self.folder / site),
            "cohort": str(self.hospitals.cohort),
            "trust": str(self.hospitals.trust),
            "minimum-films": 4,
            "suppress-below": 1,
            "validation-models": 10_000,
            "test-models": 10_000,
            "daily-seconds": 10_000_000,
        }
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in values.items()]
        path.write_text("".join(lines), encoding="utf-8")
        return path

    def _run(self, name: str, words: list[str]) -> None:
        environment = quiet_environment(self.folder / "flower") | {
            MARK: self.mark,
            "PYTHONPATH": str(ROOT),
            "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.2",
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                words,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def _program(name: str) -> str:
    return str(Path(sysconfig.get_path("scripts")) / name)


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """A federation of three hospitals; nothing of it is left when the block ends."""
    folder.mkdir(parents=True)
    hospitals = make_hospitals(folder / "hospitals", SITES, "scattering")
    made = Scene(folder, hospitals, free_ports(1)[0], os.urandom(16).hex())
    made.start_servers()
    try:
        yield made
    finally:
        made.stop()
