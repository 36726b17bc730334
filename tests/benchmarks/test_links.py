"""Rounds over poor links, each hospital in a network namespace of its own, behind real nginx.

A cut is made in mid-transfer: the bundle is on its way, as the node's log and its interface say.
"""

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from flwr.app import ArrayRecord, Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from benchmarks.links.fedavg_app import ARRAYS, client
from benchmarks.links.federation import DOOR, Federation, Machine, federation
from benchmarks.links.hospitals import make_hospitals
from benchmarks.links.network import Network, Traffic, impossible, left_behind, network

SITES = ("north", "south")
POOR = "north"
PROXY, PROXY_PORT = "proxy", 3128
ACCOUNT = "node:swordfish"
SLOW_KBIT, CUT_KBIT, LOSS = 1000, 64, 5
HANDED_OVER = "handed over"
FULL_BYTES = 6_000
"""In a second, of the 8,000 that the slowest link carries; a bundle of some 33,000 takes four."""
MINUTE = 60.0
OFFLINE_S = 75.0
"""So long without a heartbeat, Flower tells the aggregator that the node is gone, wherever in its
interval of 18 s the last one was."""


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    if why := impossible():
        pytest.skip(why)
    with network(["aggregator", PROXY, *SITES]) as made:
        yield made
    assert made.router not in left_behind()


@dataclass
class Lab:
    """A federation whose hospitals' links may be made poor."""

    net: Network
    made: Federation

    def machine(self, name: str) -> Machine:
        return Machine(self.net.prefix(name), self.net.address(name))

    def connect(self, **of_the_poor_one: str) -> None:
        for site in SITES:
            self.made.start_node(site, self.machine(site), of_the_poor_one if site == POOR else {})
        self.made.wait_for_nodes()

    @contextmanager
    def round(self) -> Iterator["subprocess.Popen[str]"]:
        """A round that runs while the block does what it wants with the links."""
        process = subprocess.Popen(
            self.made.round_command(self.made.folder / "round", "--ensemble", "1", "--json"),
            env=self.made.environment(),
            cwd=self.made.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)

    def closed(self, process: "subprocess.Popen[str]") -> set[str]:
        """Wait for the end of a round; returns the sites of which test films were counted."""
        printed, log = process.communicate(timeout=280)
        assert process.returncode == 0, log
        result = json.loads(printed)
        assert result["missing"] == []
        return set(result["bundles"]) & set(result["test"])

    def handed_over(self) -> bool:
        return HANDED_OVER in self.made.logs[POOR].read_text(encoding="utf-8")

    def until_a_transfer(self, direction: str) -> None:
        """Wait until bytes have filled the link for a second."""

        def full() -> bool:
            start = self.net.traffic(POOR)
            time.sleep(1)
            return getattr(self.net.traffic(POOR) - start, direction) > FULL_BYTES

        until(self.handed_over)
        until(full)

    def cut(self, seconds: float) -> None:
        """Let nothing through for so long; the link is fast afterwards."""
        self.net.cut(POOR)
        time.sleep(seconds)
        assert self.net.dropped(POOR) > 0
        self.net.mend(POOR)
        self.net.unlimit(POOR)


def until(true: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def lab(net: Network, tmp_path: Path) -> Iterator[Lab]:
    """Sound links at first, no node, and nothing remembered of another test's rounds."""
    if shutil.which("nginx") is None:
        pytest.skip("not installed: nginx (make system)")
    hospitals = make_hospitals(tmp_path / "hospitals", SITES, "scattering")
    aggregator = Machine(net.prefix("aggregator"), net.address("aggregator"))
    try:
        with federation(tmp_path / "federation", hospitals, aggregator, 8000) as made:
            yield Lab(net, made)
    finally:
        net.mend(POOR)
        net.unlimit(POOR)


def send(net: Network, size: int, seconds: float = 30) -> tuple[float, Traffic]:
    """Send bytes from the poor hospital to the aggregator; returns seconds, and the traffic."""
    take = "import socket\nwith socket.create_server(('', 9)) as s:\n c = s.accept()[0]\n"
    take += " while c.recv(65536): pass\n c.sendall(b'.')"
    give = "import socket, sys\nc = socket.create_connection((sys.argv[1], 9))\n"
    give += "c.sendall(bytes(int(sys.argv[2])))\nc.shutdown(1)\nsys.exit(c.recv(1) != b'.')"
    server = subprocess.Popen([*net.prefix("aggregator"), sys.executable, "-c", take])
    try:
        until(lambda: listens(net, 9))
        start, began = net.traffic(POOR), time.monotonic()
        words = [sys.executable, "-c", give, net.address("aggregator"), str(size)]
        subprocess.run([*net.prefix(POOR), *words], check=True, timeout=seconds)
        return time.monotonic() - began, net.traffic(POOR) - start
    finally:
        server.kill()
        server.wait()


def listens(net: Network, port: int, machine: str = "aggregator") -> bool:
    words = [*net.prefix(machine), "cat", "/proc/net/tcp"]
    table = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return any(f":{port:04X} 00000000:0000 0A" in line for line in table.splitlines())


def test_limit_of_bandwidth_holds_and_bytes_are_counted_with_their_headers(net: Network) -> None:
    net.limit(POOR, SLOW_KBIT)
    try:
        seconds, traffic = send(net, 250_000)
    finally:
        net.unlimit(POOR)
    assert seconds > 1.5, "250 kB at 1 Mbit/s take two seconds, less what the bucket holds"
    assert 255_000 < traffic.sent < 330_000


def test_loss_is_a_share_of_the_packets_and_a_cut_is_all_of_them(net: Network) -> None:
    net.lose(POOR, LOSS)
    try:
        _, traffic = send(net, 1_000_000)
        assert traffic.sent > 1_000_000, "what was lost is sent again"
        assert 10 < net.dropped(POOR) < 200, "5 % of some 700 packets and as many acknowledgements"
    finally:
        net.mend(POOR)
    net.cut(POOR)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            send(net, 1, seconds=2)
    finally:
        net.mend(POOR)
    assert send(net, 1)[1].total > 0


def test_namespaces_are_removed_after_a_fault() -> None:
    if why := impossible():
        pytest.skip(why)
    fault = RuntimeError("in the block")
    with suppress(RuntimeError), network(["one"]) as made:
        assert {made.router, made.namespace("one")} <= set(left_behind())
        raise fault
    assert not {made.router, made.namespace("one")} & set(left_behind())


def test_round_closes_after_a_cut_of_ten_seconds_in_mid_bundle(lab: Lab) -> None:
    lab.connect()
    lab.net.limit(POOR, CUT_KBIT)
    with lab.round() as process:
        lab.until_a_transfer("sent")
        lab.cut(10)
        assert lab.closed(process) == set(SITES)


def test_weights_of_fedavg_come_back_changed_so_that_every_answer_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Flower sends no object whose content the SuperLink has."""
    for name in ("_run_id", "_node_id", "_task_id"):  # without them there is no Message
        monkeypatch.setattr(TaskIdentity, name, 1)
    sent = {"weight": torch.zeros(3, 4), "bias": torch.zeros(3)}
    answers = [fedavg_answer(node, sent) for node in (1, 2)]
    for name, values in sent.items():
        assert [answer[name].shape for answer in answers] == [values.shape] * 2
        assert [answer[name].dtype for answer in answers] == [values.dtype] * 2
        assert not any(torch.equal(answer[name], values) for answer in answers)
        assert not torch.equal(answers[0][name], answers[1][name])


def fedavg_answer(node: int, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    content = RecordDict({ARRAYS: ArrayRecord(weights)})
    message = Message(content, dst_node_id=node, message_type="train")
    message.metadata.__dict__["_message_id"] = f"question to {node}"
    answer = client(message, Context(1, node, {}, RecordDict(), {}))
    return answer.content.array_records[ARRAYS].to_torch_state_dict()


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_round_closes_after_a_cut_of_a_minute_in_mid_bundle(lab: Lab) -> None:
    lab.connect()
    lab.net.limit(POOR, CUT_KBIT)
    with lab.round() as process:
        lab.until_a_transfer("sent")
        lab.cut(MINUTE)
        assert lab.closed(process) == set(SITES)


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_round_closes_after_a_cut_of_a_minute_in_mid_question(lab: Lab) -> None:
    lab.connect()
    lab.net.limit(POOR, CUT_KBIT)
    with lab.round() as process:
        lab.until_a_transfer("sent")
        lab.until_a_transfer("received")
        lab.cut(OFFLINE_S)
        assert lab.closed(process) == set(SITES)


@pytest.mark.slow
def test_round_closes_over_one_megabit_a_second(lab: Lab) -> None:
    lab.net.limit(POOR, SLOW_KBIT)
    lab.connect()
    with lab.round() as process:
        assert lab.closed(process) == set(SITES)


@pytest.mark.slow
def test_round_closes_while_five_packets_of_a_hundred_are_lost(lab: Lab) -> None:
    lab.net.lose(POOR, LOSS)
    lab.connect()
    with lab.round() as process:
        assert lab.closed(process) == set(SITES)
    assert lab.net.dropped(POOR) > 0


@pytest.fixture
def proxy(lab: Lab) -> Iterator[Callable[[], str]]:
    """A hospital's proxy with an account, and a firewall that lets nothing else out."""
    log = lab.made.folder / "proxy.log"
    address = lab.net.address(PROXY)
    words = ("benchmarks.links.forward_proxy", address, str(PROXY_PORT), ACCOUNT)
    machine = lab.machine(PROXY)
    with log.open("wb") as stream:
        process = subprocess.Popen(
            machine.module(*words), env=machine.environment(lab.made.folder, {}), stdout=stream
        )
    lab.net.allow_only(POOR, PROXY)
    try:
        until(lambda: listens(lab.net, PROXY_PORT, PROXY))
        yield lambda: log.read_text(encoding="utf-8")
    finally:
        process.kill()
        process.wait()


def test_round_closes_through_a_hospitals_proxy(lab: Lab, proxy: Callable[[], str]) -> None:
    lab.connect(HTTPS_PROXY=f"http://{ACCOUNT}@{lab.net.address(PROXY)}:{PROXY_PORT}")
    with lab.round() as process:
        assert lab.closed(process) == set(SITES)
    assert set(proxy().splitlines()) == {f"CONNECT {lab.net.address('aggregator')}:{DOOR}"}
    assert lab.net.dropped(POOR) == 0, "nothing went past the proxy"


def test_node_says_that_its_proxy_wants_another_account(lab: Lab, proxy: Callable[[], str]) -> None:
    variables = {"HTTPS_PROXY": f"http://node:gudgeon@{lab.net.address(PROXY)}:{PROXY_PORT}"}
    lab.made.start_node(POOR, lab.machine(POOR), variables)
    log = lab.made.logs[POOR]
    until(lambda: "407 Proxy Authentication Required" in log.read_text(encoding="utf-8"))
    assert "not logged in" in proxy()
    assert "gudgeon" not in log.read_text(encoding="utf-8")


def test_node_of_this_machine_goes_through_no_proxy(tmp_path: Path) -> None:
    hospitals = make_hospitals(tmp_path / "hospitals", SITES[:1], "scattering")
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        nobody.listen()
        dead = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        words = ["--superlink", "127.0.0.1:1", "--insecure", "--max-wait-time", "1"]
        settings = tmp_path / "node.toml"
        text = f'outbox = "{hospitals.outbox(SITES[0])}"\nstate = "{tmp_path}/state"\n'
        settings.write_text(text, encoding="utf-8")
        ended = subprocess.run(
            Machine().module("hospital_node", str(settings), *words),
            env=Machine().environment(
                tmp_path, {"HTTP_PROXY": dead, "NO_PROXY": "", "no_proxy": ""}
            ),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        nobody.setblocking(False)
        with pytest.raises(BlockingIOError):
            nobody.accept()
    assert "Connection refused" in ended.stderr
