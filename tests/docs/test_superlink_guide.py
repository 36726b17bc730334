"""The guide's commands for SuperLink, nginx and node, run as they stand, and then attacked."""

import http.client
import json
import re
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from process_kit import environment
from site_kit import make_bundle, write_files

from aggregator.flower.cli import quiet_environment
from aggregator.flower.local_federation import free_ports
from aggregator.flower.processes import Processes, together
from gdshare.signing import new_key, public_pem

DOCS = Path(__file__).parent.parent.parent / "docs"
GUIDE = DOCS / "guide-aggregator.md"
HERE, NODE = "The SuperLink (you)", "The node (each hospital)"
FOR_NODES = (
    "activate-node",
    "deactivate-node",
    "send-node-heartbeat",
    "pull-messages",
    "push-messages",
    "get-run",
    "pull-object",
    "push-object",
    "confirm-message-received",
)
FOR_NOBODY = [
    "/",
    "/docs",
    "/openapi.json",
    "/health",
    "/v1/control/start-run",
    "/v1/control/list-runs",
    "/v1/runtime/acquire-task",
    "/v1/fleet/register-node",
    "/v1/fleet/unregister-node",
    "/v1/fleet/get-fab",
    "/v1/fleet/",
    "/v1/fleet/../control/start-run",
    "/v1/fleet/%2e%2e/control/start-run",
    "/v1/fleet/pull-messages/../../control/start-run",
    "/v1/fleet/pull-messages%2f..%2f..%2fcontrol/start-run",
    "/v1/fleet/pull-messages/../get-fab",
    "//v1/control/start-run",
    "/V1/FLEET/PULL-MESSAGES",
]
ANSWER = 30.0


def blocks(heading: str) -> list[str]:
    """The indented blocks under a heading of the guide."""
    section = GUIDE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"(?:^    .*\n)+", section, flags=re.MULTILINE)
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in found]


def block(heading: str, beginning: str) -> str:
    [found] = [text for text in blocks(heading) if text.startswith(beginning)]
    return found


@dataclass
class Place:
    """Where the guide's folders and ports are in this test."""

    folder: Path
    superlink: int
    door: int
    processes: Processes
    link: Processes

    def fitted(self, text: str) -> str:
        changes = {
            "/etc/gdshare": f"{self.folder}/etc",
            "/var/lib/gdshare-node": f"{self.folder}/node",
            "/var/lib/gdshare": f"{self.folder}/var",
            "/srv/gdshare": f"{self.folder}/srv",
            "aggregator.example:8443": f"127.0.0.1:{self.door}",
            "127.0.0.1:8000": f"127.0.0.1:{self.superlink}",
            "--port 8000": f"--port {self.superlink}",
            "listen 8443": f"listen 127.0.0.1:{self.door}",
        }
        for old, new in changes.items():
            text = text.replace(old, new)
        return re.sub(r"^python ", f"{sys.executable} -P ", text)

    @property
    def environment(self) -> dict[str, str]:
        return {**environment(), **quiet_environment(self.folder / "var" / "flower")}

    def run(self, text: str) -> str:
        process = subprocess.run(
            ["bash", "-euc", self.fitted(text)],
            cwd=self.folder / "etc",
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout

    def start(self, text: str, log: str, processes: Processes | None = None) -> None:
        words = ["bash", "-euc", f"exec {self.fitted(text)}"]
        (processes or self.processes).start(words, self.environment, self.folder / log)

    def start_superlink(self) -> None:
        self.link = Processes()
        self.start(block(HERE, "flower-superlink --host"), "superlink.log", self.link)

    def until_superlink_runs(self) -> None:
        until(lambda: "Uvicorn running" in self.log("superlink.log"), self.logs)

    def logs(self) -> str:
        return "".join(path.read_text() for path in self.folder.glob("*.log"))

    def log(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8", errors="replace")

    def status(self, path: str, method: str = "POST", certified: bool = True, size: int = 0) -> int:
        """What the door answers."""
        context = ssl.create_default_context(cafile=self.folder / "etc" / "ca.pem")
        if certified:
            etc = self.folder / "etc"
            context.load_cert_chain(etc / "st-mary.pem", etc / "tls.key")
        door = http.client.HTTPSConnection("127.0.0.1", self.door, context=context, timeout=ANSWER)
        door.putrequest(method, path, skip_host=True)
        door.putheader("Host", "aggregator.example")
        door.putheader("Content-Length", str(size))
        door.endheaders()
        try:
            return door.getresponse().status
        finally:
            door.close()


def until(true: Callable[[], bool], what: Callable[[], str]) -> None:
    end = time.monotonic() + 90
    while not true():
        assert time.monotonic() < end, what()
        time.sleep(0.2)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    missing = [name for name in ("nginx", "openssl", "ssh-keygen") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (make system)")
    folder = tmp_path_factory.mktemp("guide")
    for name in ("etc", "var", "srv/outbox", "nginx"):
        (folder / name).mkdir(parents=True)
    with together() as processes:
        place = Place(folder, *free_ports(2), processes, Processes())
        try:
            _set_up(place)
            yield place
        finally:
            place.link.stop()


def _set_up(place: Place) -> None:
    place.run(block(HERE, "openssl req -x509"))
    place.start_superlink()
    place.run(block(NODE, "ssh-keygen"))
    place.run(block(HERE, "openssl x509 -req"))
    place.run(block(HERE, "mkdir"))
    place.until_superlink_runs()
    place.run(block(HERE, "flwr supernode register"))
    _start_nginx(place)
    (place.folder / "etc" / "node.toml").write_text(
        "".join(
            place.fitted(line) + "\n"
            for line in block(NODE, "outbox =").splitlines()
            if not line.startswith("cohort")
        ),
        encoding="utf-8",
    )
    place.start(block(NODE, "python -m hospital_node /etc"), "node.log")
    until(lambda: _online(place), place.logs)


def _start_nginx(place: Place) -> None:
    """The configuration that is shipped, in the least of an nginx."""
    server = place.folder / "nginx" / "server.conf"
    shipped = (DOCS / "deploy" / "superlink-nginx.conf").read_text(encoding="utf-8")
    server.write_text(place.fitted(shipped), encoding="utf-8")
    temporary = "".join(
        f"{kind}_temp_path {place.folder}/nginx/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = place.folder / "nginx" / "nginx.conf"
    configuration.write_text(
        f"daemon off; pid {place.folder}/nginx/pid; error_log stderr; worker_processes 1;\n"
        f"events {{}}\nhttp {{ access_log off; {temporary} include {server}; }}\n",
        encoding="utf-8",
    )
    user = "user root;" if (Path("/proc/self").stat().st_uid == 0) else ""
    place.start(f"nginx -c {configuration} -g '{user}'", "nginx.log")


def _online(place: Place) -> bool:
    listed = place.run("flwr supernode list ours --format json")
    return [node["status"] for node in json.loads(listed)["nodes"]] == ["online"]


def _reached(place: Place, since: int) -> set[str]:
    """The addresses of the SuperLink that were reached through the door."""
    return set(re.findall(r'"(?:GET|POST) (\S+) HTTP', place.log("superlink.log")[since:]))


def test_the_hospitals_node_connects_by_the_guide(place: Place) -> None:
    assert "connected to 127.0.0.1:" in place.log("node.log")
    assert _online(place)


def test_bundle_comes_through_the_door_to_a_round_with_relative_paths(place: Place) -> None:
    write_files(place.folder / "srv" / "outbox" / "north-1", make_bundle("north", new_key()))
    trust = place.folder / "etc" / "trust"
    trust.mkdir()
    (trust / "south.pub").write_bytes(public_pem(new_key().public_key()))
    tls = "--superlink 127.0.0.1:8000 --root-certificates ca.pem"
    with pytest.raises(AssertionError, match="no bundle was admitted"):
        place.run(f"python -m gdshare aggregate {tls} --trust trust --out round")
    refusals = (place.folder / "etc" / "round" / "refusals.jsonl").read_text(encoding="utf-8")
    assert "UnknownSite" in refusals, "the bundle arrived, and its site is on no trust list"


@pytest.mark.parametrize("path", ["/v1/fleet/pull-messages", *FOR_NOBODY])
def test_nothing_passes_without_a_certificate(place: Place, path: str) -> None:
    assert place.status(path, certified=False) == 400


def test_only_what_a_node_needs_passes_with_a_certificate(place: Place) -> None:
    since = len(place.log("superlink.log"))
    told = {path: place.status(path) for path in FOR_NOBODY}
    assert set(told.values()) <= {403, 404}, told
    assert {place.status(f"/v1/fleet/{name}") for name in FOR_NODES} == {415}, "from the SuperLink"
    assert _reached(place, since) == {f"/v1/fleet/{name}" for name in FOR_NODES}


def test_only_post_passes(place: Place) -> None:
    told = [place.status("/v1/fleet/pull-messages", method) for method in ("GET", "PUT", "TRACE")]
    assert set(told) <= {403, 405}


def test_query_does_not_pass(place: Place) -> None:
    since = len(place.log("superlink.log"))
    place.status("/v1/fleet/pull-messages?/../../control/start-run")
    assert _reached(place, since) <= {f"/v1/fleet/{name}" for name in FOR_NODES}


def test_more_than_a_bundle_is_turned_away_unread(place: Place) -> None:
    assert place.status("/v1/fleet/push-object", size=200_000_000) == 413


def test_superlink_that_restarts_still_knows_the_node(place: Place) -> None:
    place.link.stop()
    place.start_superlink()
    place.until_superlink_runs()
    until(lambda: _online(place), place.logs)
    place.processes.require_alive()
