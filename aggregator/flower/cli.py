"""Talking to a SuperLink through Flower's own command line, in a private Flower home.

The commands are Flower's public interface; its Python client for the same is internal.
"""

import json
import os
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aggregator.flower.release import release_of
from gdshare.child_environment import child_environment
from gdshare.deploy.address import parse_address
from gdshare.errors import FederationError, UsageError
from gdshare.flower import flower_environment, require_flower, require_superlink

CONNECTION = "round"
TIMEOUT_S = 60.0
"""For one command; it takes a second or two."""


@dataclass(frozen=True)
class SuperLinkAddress:
    """Where a SuperLink listens.

    Attributes:
        address: HOST:PORT.
        insecure: no TLS, for one machine only.
        root_certificates: PEM of the authority that signed its certificate; None: the system's.
    """

    address: str
    insecure: bool = False
    root_certificates: Path | None = None


def quiet_environment(home: Path) -> dict[str, str]:
    """The environment for Flower's processes: a private home, no telemetry, no update check.

    This machine is reached by no proxy.
    No passphrase either: signing is done in another process. The folder of this Python's commands
    comes first on the search path, since Flower looks for its own programs there.
    """
    return {
        **child_environment(),
        **flower_environment(),
        "FLWR_HOME": str(home),
        "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ.get('PATH', '')}",
    }


def _require_file(certificates: Path | None) -> None:
    if certificates is not None and not certificates.is_file():
        raise UsageError("is missing", certificates, "check --root-certificates")


@dataclass(frozen=True)
class ListedNode:
    """A node as the SuperLink lists it.

    Attributes:
        number: the SuperLink's own.
        status: such as ``registered``, ``online``, ``offline``.
        online_at, offline_at: when it last came and went, as Flower writes times; or ``N/A``.
    """

    number: int
    status: str
    online_at: str
    offline_at: str


@dataclass(frozen=True)
class FlowerCli:
    """Flower's commands, bound to one SuperLink."""

    home: Path
    superlink: SuperLinkAddress

    @classmethod
    def connect(cls, home: Path, superlink: SuperLinkAddress) -> "FlowerCli":
        """Write the connection into a Flower home, made if missing; nothing is contacted yet.

        Raises:
            UsageError: not an address, there is no such file of certificates, or gdshare does not
                know the Flower that is installed.
        """
        require_flower()
        # Flower starts a SuperLink by itself for some words.
        parse_address(superlink.address, "--superlink")
        _require_file(superlink.root_certificates)
        lines = [
            "[superlink]",
            f'default = "{CONNECTION}"',
            f"[superlink.{CONNECTION}]",
            f"address = {json.dumps(superlink.address)}",
            f"insecure = {str(superlink.insecure).lower()}",
        ]
        if superlink.root_certificates is not None:
            # Flower reads a relative path from the folder of its own configuration.
            path = superlink.root_certificates.absolute()
            lines.append(f"root-certificates = {json.dumps(str(path))}")
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        (home / "config.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return cls(home, superlink)

    def start_run(self, app: Path, config: dict[str, str]) -> str:
        """Submit the app in a folder; returns the run's number.

        Raises:
            FederationError: it was refused, or the SuperLink has a version of Flower that does not
                fit.
        """
        self._require_fitting_superlink()
        settings = " ".join(f"{name}={json.dumps(value)}" for name, value in config.items())
        answer = self._call("run", str(app), CONNECTION, "--run-config", settings)
        return str(answer["run-id"])

    def status(self, run: str) -> tuple[str, str]:
        """A run's status, such as ``finished:failed``, and its details."""
        listed = self._call("list", CONNECTION, "--run-id", run)["runs"][0]
        return str(listed["status"]), str(listed.get("status-details", ""))

    def stop_run(self, run: str) -> None:
        """End a run."""
        self._call("stop", run, CONNECTION)

    def nodes_online(self) -> int:
        """How many SuperNodes are connected."""
        return sum(node.status == "online" for node in self.nodes())

    def nodes(self) -> list[ListedNode]:
        """The nodes that the SuperLink knows, without those that were removed."""
        listed = self._call("supernode", "list", CONNECTION)["nodes"]
        nodes = [
            ListedNode(
                int(node["node-id"]),
                str(node["status"]),
                str(node.get("online-at", "N/A")),
                str(node.get("offline-at", "N/A")),
            )
            for node in listed
        ]
        return [node for node in nodes if node.status not in ("unregistered", "deleted")]

    def register_node(self, key: Path, name: str) -> int:
        """Register a node's public key; returns the SuperLink's number of it.

        Raises:
            FederationError: refused, or the SuperLink does not list the node afterwards.
        """
        answer = self._call("supernode", "register", str(key), CONNECTION, "--name", name)
        number = int(answer["node-id"])
        if number not in {node.number for node in self.nodes()}:
            raise FederationError(
                f"the SuperLink registered node {number} and does not list it",
                remedy="look at its log, and at its --database",
            )
        return number

    def unregister_node(self, number: int) -> None:
        """Have the SuperLink forget a node."""
        self._call("supernode", "unregister", str(number), CONNECTION)

    def _require_fitting_superlink(self) -> None:
        link = self.superlink
        release = release_of(link.address, link.insecure, link.root_certificates)
        if release is not None:
            require_superlink(release, require_flower(), link.address)

    def _call(self, *arguments: str) -> dict[str, Any]:
        """Run one command and read its JSON.

        Raises:
            FederationError: it failed, usually because no SuperLink answers.
        """
        command = [str(Path(sysconfig.get_path("scripts")) / "flwr"), *arguments]
        try:
            process = subprocess.run(
                [*command, "--format", "json"],
                env=quiet_environment(self.home),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT_S,
                check=False,
                text=True,
            )
            answer = json.loads(process.stdout[process.stdout.index("{") :])
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise FederationError(
                f"flwr {arguments[0]}: no answer from the SuperLink ({error})",
                remedy="check its address and that it runs",
            ) from error
        if not isinstance(answer, dict) or not answer.get("success"):
            reason = answer.get("error-message", "") if isinstance(answer, dict) else ""
            raise FederationError(
                f"flwr {arguments[0]}: {_last_paragraph(str(reason)) or 'refused'}",
                remedy="check the SuperLink's address, certificates and log",
            )
        return answer


def _last_paragraph(text: str) -> str:
    """What Flower says in the end; before it stands what it was about to do."""
    return text.strip().rpartition("\n\n")[2]
