"""Runs FedAvg in the namespaces of a federation: its own SuperLink with TLS, and Flower's nodes."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from aggregator.flower.cli import CONNECTION, FlowerCli, SuperLinkAddress
from aggregator.flower.processes import Processes
from benchmarks.links.federation import Federation, Machine
from benchmarks.links.hospitals import PROTOCOL
from benchmarks.links.network import Network, Traffic
from gdshare.errors import FederationError
from gdshare.round_app import FILE, ROUND_APP

PORT = 9000
POLL_S = 1.0
LIMIT_S = 900.0


@dataclass(frozen=True)
class FedAvgRun:
    """What it cost.

    Attributes:
        seconds: from its submission to its end.
        traffic: of each site's interface in that time.
    """

    seconds: float
    traffic: Mapping[str, Traffic]


def run_fedavg(made: Federation, net: Network, network: str, rounds: int) -> FedAvgRun:
    """Hold rounds of FedAvg among the sites of a federation whose own nodes are stopped.

    Raises:
        FederationError: it failed, or did not end in time.
    """
    address = SuperLinkAddress(f"{made.aggregator.address}:{PORT}", False, made.folder / "ca.pem")
    servers, sites = Processes(), made.hospitals.sites
    try:
        _start(made, net, servers, address.address)
        home = made.folder / "fedavg-cli"
        FlowerCli.connect(home, address)
        cli = replace(made, home=home)
        _until_online(cli, len(sites))
        before, began = {site: net.traffic(site) for site in sites}, time.monotonic()
        _run(cli, network, rounds)
        spent = time.monotonic() - began
        return FedAvgRun(spent, {site: net.traffic(site) - before[site] for site in sites})
    finally:
        servers.stop()


def _start(made: Federation, net: Network, servers: Processes, address: str) -> None:
    host, _, port = address.rpartition(":")
    command = made.aggregator.program(
        "flower-superlink",
        *("--host", host, "--port", port, "--ssl-ca-certfile", str(made.folder / "ca.pem")),
        *("--ssl-certfile", str(made.folder / "server.pem")),
        *("--ssl-keyfile", str(made.folder / "server.key")),
        "--disable-runtime-dependency-installation",
    )
    log = made.folder / "fedavg-superlink.log"
    servers.start(command, made.aggregator.environment(made.folder / "fedavg", {}), log)
    made.until(lambda: "Uvicorn running" in log.read_text("utf-8", "replace"), servers)
    for site in made.hospitals.sites:
        machine = Machine(net.prefix(site), net.address(site))
        words = ("--superlink", address, "--root-certificates", str(made.folder / "ca.pem"))
        environment = machine.environment(made.folder / f"fedavg-{site}", {})
        log = made.folder / f"fedavg-{site}.log"
        servers.start(machine.program("flower-supernode", *words), environment, log)


def _until_online(cli: Federation, count: int) -> None:
    def online() -> bool:
        listed = json.loads(cli.flwr("supernode", "list", CONNECTION, "--format", "json"))
        return [node["status"] for node in listed["nodes"]] == ["online"] * count

    cli.until(online, cli.servers)


def _run(cli: Federation, network: str, rounds: int) -> None:
    app = cli.folder / "fedavg-app"
    app.mkdir()
    text = ROUND_APP.replace("gdshare-round", "fedavg")
    for old, new in (
        ("aggregator.server_app:app", "server"),
        ("hospital_node.client_app:app", "client"),
    ):
        text = text.replace(old, f"benchmarks.links.fedavg_app:{new}")
    settings: dict[str, object] = {
        "network": network,
        "rounds": rounds,
        "sites": len(cli.hospitals.sites),
        "side": PROTOCOL.side,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    (app / FILE).write_text(text.replace('out = ""', "\n".join(lines)), encoding="utf-8")
    answer = json.loads(cli.flwr("run", str(app), CONNECTION, "--format", "json"))
    if not answer.get("success"):
        raise FederationError(f"FedAvg was not started: {answer.get('error-message', answer)}")
    run = answer["run-id"]
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        words = ("list", CONNECTION, "--run-id", str(run), "--format", "json")
        status = json.loads(cli.flwr(*words))["runs"][0]["status"]
        if status == "finished:completed":
            return
        if status.startswith("finished"):
            raise FederationError(f"FedAvg ended: {status}", cli.folder, "see the logs there")
        time.sleep(POLL_S)
    raise FederationError("FedAvg did not end in time", cli.folder, "see the logs there")
