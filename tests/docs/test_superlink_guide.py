"""The guides' commands for SuperLink, nginx and node, run as they stand, and then attacked."""

import http.client
import json
import os
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from nginx_kit import nginx_words
from process_kit import environment
from site_kit import make_bundle, write_files

from aggregator.flower.cli import quiet_environment
from aggregator.flower.local_federation import free_ports
from aggregator.flower.processes import Processes, together
from aggregator.flower.submit import write_app
from aggregator.nodes import site_names
from aggregator.setup.doctor import examine as examine_federation
from aggregator.setup.outside import Door, check_outside
from aggregator.setup.place import read_place
from gdshare.deploy.node_request import new_node_key, openssh_private, read_node_request
from gdshare.signing import new_key, public_pem
from hospital_node.__main__ import _parser
from hospital_node.address import address_of
from hospital_node.setup.doctor import examine
from hospital_node.setup.probe import judge, probe
from hospital_node.superlink import Address

DOCS = Path(__file__).parent.parent.parent / "docs"
PASSPHRASE = "a passphrase for the test"
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


def commands(guide: str) -> list[str]:
    """The command lines of a guide's indented blocks, with their continuations."""
    lines = (DOCS / guide).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.startswith("    ")]


def line(guide: str, beginning: str) -> str:
    """The first command of a guide that begins so."""
    return next(line for line in commands(guide) if line.startswith(beginning))


def unit(folder: Path, name: str) -> str:
    """What a unit starts."""
    text = (folder / name).read_text(encoding="utf-8").replace("\\\n", " ")
    [found] = re.findall(r"^ExecStart=(.*)$", text, flags=re.MULTILINE)
    return found


@dataclass
class Place:
    """Where the guide's folders and ports are in this test."""

    folder: Path
    superlink: int
    door: int
    processes: Processes
    link: Processes

    def fitted(self, text: str, etc: str = "etc") -> str:
        changes = {
            "/etc/gdshare": f"{self.folder}/{etc}",
            "/var/lib/gdshare-node": f"{self.folder}/node-state",
            "/var/lib/gdshare": f"{self.folder}/var",
            "/var/log/gdshare-node": f"{self.folder}/node-log",
            "/srv/gdshare": f"{self.folder}/srv",
            "aggregator.example:8443": f"127.0.0.1:{self.door}",
        }
        for old, new in changes.items():
            text = text.replace(old, new)
        return re.sub(r"^(gdshare|python) ", self._program, text)

    @staticmethod
    def _program(match: "re.Match[str]") -> str:
        module = " -m gdshare" if match[1] == "gdshare" else ""
        return f"{sys.executable} -P{module} "

    @property
    def environment(self) -> dict[str, str]:
        own = {
            "GDSHARE_PASSPHRASE": PASSPHRASE,
            "GDSHARE_SUPERLINK": f"127.0.0.1:{self.superlink}",
            "GDSHARE_ROOT_CERTIFICATES": str(self.folder / "etc" / "ca.pem"),
            "GDSHARE_TRUST": str(self.folder / "srv" / "trust"),
        }
        return {**environment(), **quiet_environment(self.folder / "var" / "flower"), **own}

    def run(self, text: str, etc: str = "etc") -> str:
        process = subprocess.run(
            ["bash", "-euc", self.fitted(text, etc)],
            cwd=self.folder / "srv",
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout

    def start(self, text: str, log: str, processes: Processes | None = None) -> None:
        words = ["bash", "-euc", f"exec {text}"]
        (processes or self.processes).start(words, self.environment, self.folder / log)

    def start_superlink(self) -> None:
        self.link = Processes()
        command = unit(self.folder / "etc", "gdshare-superlink.service")
        self.start(command, "superlink.log", self.link)

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
            etc = self.folder / "hospital"
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
    missing = [name for name in ("nginx",) if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (make system)")
    folder = tmp_path_factory.mktemp("guide")
    for name in ("var", "srv/outbox", "srv/trust", "node-log", "nginx"):
        (folder / name).mkdir(parents=True)
    with together() as processes:
        place = Place(folder, *free_ports(2), processes, Processes())
        try:
            _set_up(place)
            yield place
        finally:
            place.link.stop()


def _set_up(place: Place) -> None:
    made = place.run(
        line("guide-aggregator.md", "gdshare federation init")
        + f" --port {place.door} --superlink-port {place.superlink} --json"
        + f" --state {place.folder}/var --work {place.folder}/srv --logs {place.folder}/var"
    )
    place.start_superlink()
    asked = place.run(
        line("guide-node.md", "gdshare node init")
        + f" --no-count --work {place.folder}/srv --json"
        + f" --state {place.folder}/node-state --logs {place.folder}/node-log",
        "hospital",
    )
    hospital = place.folder / "hospital"
    request = hospital / "st-mary.node-request"
    told, authority = json.loads(asked)["fingerprint"], json.loads(made)["authority"]
    place.until_superlink_runs()
    for beginning in ("gdshare federation sign", "gdshare nodes add"):
        command = line("guide-aggregator.md", beginning).replace(request.name, str(request))
        command = re.sub(r'"[0-9a-f ]+"', told, command)
        place.run(command + (f" --dir {place.folder}/etc" if "sign" in beginning else ""))
    take = re.sub(r'"[0-9a-f ]+"', authority, line("guide-node.md", "gdshare node certificate"))
    reply = str(place.folder / "etc" / "sites" / "st-mary.pem")
    place.run(f"{take.replace('st-mary.pem', reply)} --dir {hospital}")
    _start_nginx(place)
    place.start(unit(hospital, "gdshare-node.service"), "node.log")
    until(lambda: _online(place), place.logs)


def _start_nginx(place: Place) -> None:
    written = place.folder / "etc" / "superlink-nginx.conf"
    words = nginx_words(written, place.door, place.folder / "nginx")
    place.start(shlex.join(words), "nginx.log")


def _online(place: Place) -> bool:
    listed = json.loads(place.run(line("guide-aggregator.md", "gdshare nodes list") + " --json"))
    return [(node["site"], node["status"]) for node in listed] == [("st-mary", "online")]


def _reached(place: Place, since: int) -> set[str]:
    """The addresses of the SuperLink that were reached through the door."""
    return set(re.findall(r'"(?:GET|POST) (\S+) HTTP', place.log("superlink.log")[since:]))


def test_the_hospitals_node_connects_by_the_guide(place: Place) -> None:
    assert "connected to 127.0.0.1:" in place.log("node.log")
    assert _online(place)


def test_bundle_comes_through_the_door_to_a_round_with_relative_paths(place: Place) -> None:
    write_files(place.folder / "srv" / "outbox" / "north-1", make_bundle("north", new_key()))
    trust = place.folder / "srv" / "trust"
    (trust / "south.pub").write_bytes(public_pem(new_key().public_key()))
    tls = f"--superlink 127.0.0.1:{place.superlink} --root-certificates ../etc/ca.pem"
    with pytest.raises(AssertionError, match="no bundle was admitted"):
        place.run(f"python -m gdshare aggregate {tls} --trust trust --out round")
    refusals = (place.folder / "srv" / "round" / "refusals.jsonl").read_text(encoding="utf-8")
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


def test_nobody_but_a_hospital_is_let_in_by_the_check_from_outside(place: Place) -> None:
    check = line("guide-aggregator.md", "gdshare federation check") + " --json"
    etc = place.folder / "hospital"
    known = f" --client-certificate {etc}/st-mary.pem --client-key {etc}/tls.key"
    since = len(place.log("superlink.log"))
    door = Door("127.0.0.1", place.door, place.folder / "etc" / "ca.pem")
    found = check_outside(door, datetime.now(UTC), ports=())
    assert {finding.state for finding in found} <= {"ok", "warning"}, found
    assert json.loads(place.run(check + known))["ok"]
    assert _reached(place, since) == {"/v1/fleet/pull-messages"}


def test_check_fails_at_the_superlinks_own_port_and_names_the_doors(place: Place) -> None:
    door = Door("127.0.0.1", place.superlink, place.folder / "etc" / "ca.pem")
    found = check_outside(door, datetime.now(UTC), ports=())
    faults = {finding.subject: finding.what for finding in found if finding.state == "fault"}
    assert {"strangers", "client certificate"} <= set(faults)
    for path in ("/health", "/docs", "/v1/control/list-runs", "/v1/runtime/"):
        assert path in faults["strangers"]


def test_doctor_sees_a_registered_node_and_does_not_disturb_it(place: Place) -> None:
    said = _examined(place, "hospital")
    assert said["registration"] == ("ok", "this node's key is registered")
    assert said["reachability"][0] == said["clock"][0] == said["certificate"][0] == "ok"
    assert _online(place)


def test_doctor_names_a_clock_that_is_six_seconds_ahead(place: Place, monkeypatch) -> None:
    probed = probe(_address(place, "hospital"))
    ahead = [finding.what for finding in judge(replace(probed, ahead=6.2), "the SuperLink")]
    assert any("is 6 s ahead of the SuperLink's" in what for what in ahead)


def test_doctor_names_a_key_that_nobody_registered(place: Place) -> None:
    etc = place.folder / "stranger"
    shutil.copytree(place.folder / "hospital", etc, dirs_exist_ok=True)
    (etc / "node-key").write_bytes(openssh_private(new_node_key()))
    text = (etc / "gdshare-node.service").read_text(encoding="utf-8")
    text = text.replace(str(place.folder / "hospital"), str(etc))
    (etc / "gdshare-node.service").write_text(text, encoding="utf-8")
    state, what = _examined(place, "stranger")["registration"]
    assert (state, "does not know this node's key" in what) == ("fault", True)


def _address(place: Place, name: str) -> Address:
    words = unit(place.folder / name, "gdshare-node.service").split()
    return address_of(_parser().parse_args(words[words.index("hospital_node") + 1 :]))


def _examined(place: Place, name: str) -> dict[str, tuple[str, str]]:
    """What the doctor says of each subject; its last word where it says several."""
    found = examine(place.folder / name, datetime.now(UTC))
    return {finding.subject: (finding.state.value, finding.what) for finding in found}


def test_federation_doctor_names_the_node_by_its_hospital(place: Place) -> None:
    trust = place.folder / "srv" / "trust"
    found = examine_federation(read_place(place.folder / "etc"), trust, datetime.now(UTC))
    said = {finding.subject: finding for finding in found}
    assert said["node st-mary"].state == "ok"
    assert said["SuperLink"].state == "ok"
    assert said["site st-mary"].state == "ok"


def test_names_of_sites_are_there_for_a_round(place: Place) -> None:
    assert list(site_names(place.folder / "srv" / "trust").values()) == ["st-mary"]


def test_adding_a_node_twice_registers_it_once(place: Place) -> None:
    request = place.folder / "hospital" / "st-mary.node-request"
    told = read_node_request(request).fingerprint
    before = site_names(place.folder / "srv" / "trust")
    added = place.run(f"gdshare nodes add {request} --fingerprint {told} --json")
    assert json.loads(added)["node_key"] != told, "the key's own; what is typed is the request's"
    assert site_names(place.folder / "srv" / "trust") == before
    assert _online(place)


@pytest.mark.parametrize("superlink", [":local:", "", "ours", "https://127.0.0.1:1"])
def test_node_is_never_registered_at_a_superlink_that_flower_starts_itself(
    place: Place, superlink: str
) -> None:
    request = place.folder / "hospital" / "st-mary.node-request"
    told = read_node_request(request).fingerprint
    with pytest.raises(AssertionError, match="is no address"):
        place.run(f"gdshare nodes add {request} --fingerprint {told} --superlink '{superlink}'")


def test_node_is_not_added_where_no_superlink_answers(place: Place) -> None:
    request = place.folder / "hospital" / "st-mary.node-request"
    told = read_node_request(request).fingerprint
    [nobody] = free_ports(1)
    words = f"--superlink 127.0.0.1:{nobody} --trust {place.folder}/srv/other"
    with pytest.raises(AssertionError, match="Connection to the SuperLink is unavailable"):
        place.run(f"gdshare nodes add {request} --fingerprint {told} {words}")
    assert not site_names(place.folder / "srv" / "other")


def test_strangers_run_is_refused_at_the_door(place: Place) -> None:
    home = place.folder / "stranger-flower"
    home.mkdir()
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "theirs"\n[superlink.theirs]\naddress = "127.0.0.1:{place.door}"\n'
        f'root-certificates = "{place.folder}/etc/ca.pem"\n',
        encoding="utf-8",
    )
    app = write_app(place.folder / "stranger-app")
    since = len(place.log("superlink.log"))
    with pytest.raises(AssertionError):
        place.run(f"FLWR_HOME={home} flwr run {app} theirs")
    assert not any("control" in path for path in _reached(place, since))


def test_superlink_that_restarts_still_knows_the_node(place: Place) -> None:
    place.link.stop()
    place.start_superlink()
    place.until_superlink_runs()
    until(lambda: _online(place), place.logs)
    place.processes.require_alive()


def test_removed_node_is_let_in_no_more_and_has_no_name(place: Place) -> None:
    said = place.run(line("guide-aggregator.md", "gdshare nodes remove"))
    assert "gdshare federation revoke st-mary" in said
    assert not site_names(place.folder / "srv" / "trust")
    assert json.loads(place.run("gdshare nodes list --json")) == []
    assert _examined(place, "hospital")["registration"][0] == "fault"


def test_its_certificate_opens_nothing_once_it_is_revoked(place: Place) -> None:
    assert place.status("/v1/fleet/pull-messages") != 400
    revoke = line("guide-aggregator.md", "gdshare federation revoke")
    said = json.loads(place.run(f"{revoke} --dir {place.folder}/etc --json"))
    assert said["of"] == "st-mary"
    os.kill(int((place.folder / "nginx" / "pid").read_text()), signal.SIGHUP)
    until(lambda: place.status("/v1/fleet/pull-messages") == 400, place.logs)

    def refused() -> bool:  # an old worker of nginx may answer for a moment
        return "refuses this node's certificate" in _examined(place, "hospital")["registration"][1]

    until(refused, place.logs)
