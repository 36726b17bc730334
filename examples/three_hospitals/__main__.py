"""The walk: set up, two rounds, a withdrawal, a bundle by courier, a stranger; then all is gone."""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

from examples.three_hospitals.machine import CommandError, Machine, machines, missing, send

SITES = ("north", "south", "east")
ETC, SRV, MAIL = "/etc/gdshare", "/srv/gdshare", "/srv/mail"
DOOR = "aggregator.example:8443"
ROUND = "--sites 3 --wait 60 --ensemble 1"
UP_S = 90.0
CONNECTION = """[superlink]
default = "theirs"
[superlink.theirs]
address = "aggregator.example:8443"
root-certificates = "/srv/ca.pem"
"""


def aggregator(machine: Machine) -> str:
    """Set the aggregator up; returns the authority's fingerprint, as it is read out."""
    made = machine.run(f"gdshare federation init {ETC} --host aggregator.example --json")
    machine.run(f"sh {ETC}/install.sh")
    machine.start_unit("/etc/systemd/system/gdshare-superlink.service")
    machine.run("nginx")
    machine.run("gdshare config new --name tokyo", "gdshare", SRV)
    line = f'root-certificates = "{ETC}/ca.pem"'
    machine.run(f"echo '{line}' >>gdshare.toml", "gdshare", SRV)
    machine.run("gdshare keys new --name tokyo --sealing", "gdshare", SRV)
    return str(json.loads(made)["authority"])


def hospital(machine: Machine, number: int) -> dict[str, str]:
    """Films, a bundle, a node's request; returns the two fingerprints that are read out."""
    site = machine.name
    machine.run("useradd --create-home engineer")
    machine.run(f"install -d -o engineer -g engineer -m 0755 {SRV}")
    for command in (
        f"gdshare config new --site {site}",
        f"gdshare phantom --site {number} --size 128 --negatives 20 --positives 20 --out films",
        "gdshare label films/labels.csv --patch 20 --stride 8 --side 16 --split 0.4,0.3,0.3",
        "gdshare distill --outer-steps 20",
        f"gdshare keys new --name {site}",
    ):
        machine.run(command, "engineer", SRV)
    request = machine.run("gdshare keys request --json", "engineer", SRV)
    machine.run("gdshare publish", "engineer", SRV)
    made = machine.run(
        f"gdshare node init {ETC} --site {site} --superlink {DOOR} --films {SRV}/films --json"
    )
    return {"node": json.loads(made)["fingerprint"], "key": json.loads(request)["fingerprint"]}


def let_in(
    machine: Machine, hub: Machine, fingerprint: str, authority: str, folder: str = ETC
) -> None:
    """The aggregator signs the node's request and registers its key; the hospital takes the answer.

    ``fingerprint``, of the node's key, and ``authority``, the fingerprint of the aggregator's
    authority, are what the two read out to each other on the phone.
    """
    site = next(machine.path(folder).glob("*.node-request")).stem
    send(f"{folder}/{site}.node-request", machine, hub, MAIL)
    hub.run(
        f"gdshare federation sign {MAIL}/{site}.node-request --fingerprint '{fingerprint[:16]}'"
    )
    add = f"gdshare nodes add {MAIL}/{site}.node-request --fingerprint '{fingerprint[:16]}'"
    hub.run(add, "gdshare", SRV)
    send(f"{ETC}/sites/{site}.pem", hub, machine, MAIL)
    take = f"gdshare node certificate {MAIL}/{site}.pem --fingerprint '{authority[:16]}'"
    machine.run(f"{take} --dir {folder}")
    machine.run(f"sh {folder}/install.sh")


def trust_each_other(made: dict[str, Machine], fingerprints: dict[str, dict[str, str]]) -> None:
    """Every hospital, and the aggregator, puts all hospitals' keys on a list of its own."""
    for site in SITES:
        for other in ("aggregator", *SITES):
            user, trust = ("gdshare", "") if other == "aggregator" else ("engineer", "peers")
            send(f"{SRV}/keys/{site}.request", made[site], made[other], MAIL)
            words = f"gdshare trust add {MAIL}/{site}.request"
            words += f" --fingerprint '{fingerprints[site]['key'][:16]}'"
            words += f" --trust {SRV}/{trust}" if trust else ""
            made[other].run(words, user, SRV)


def wait_for_nodes(hub: Machine, count: int) -> None:
    """Until as many nodes are connected."""
    end = time.monotonic() + UP_S
    while True:
        listed = json.loads(hub.run("gdshare nodes list --json", "gdshare", SRV))
        if sum(node["status"] == "online" for node in listed) == count:
            return
        if time.monotonic() > end:
            raise CommandError(f"not {count} nodes connected: {listed}")
        time.sleep(1)


def stranger(machine: Machine, hub: Machine) -> None:
    """Somebody without a certificate knocks, and tries to run a program on the SuperLink."""
    machine.run(f"gdshare federation check {DOOR}")
    send(f"{ETC}/ca.pem", hub, machine, "/srv")  # it is public
    machine.run("mkdir -p /srv/app /srv/flower")
    machine.path("/srv/flower/config.toml").write_text(CONNECTION, encoding="utf-8")
    from gdshare.round_app import FILE, ROUND_APP  # noqa: PLC0415

    machine.path(f"/srv/app/{FILE}").write_text(ROUND_APP, encoding="utf-8")
    submit = "FLWR_HOME=/srv/flower flwr run /srv/app theirs --format json"
    answer = machine.run(submit, statuses=(0, 1, 2))
    if re.search(r'"success":\s*true', answer) or '"success"' not in answer:
        raise CommandError(f"a stranger's run was not refused: {answer}")
    log = hub.path("/var/log/gdshare/superlink.log").read_text("utf-8", errors="replace")
    if "/v1/control/register-node" not in log:
        raise CommandError("the SuperLink's log does not show who reached it")
    if "/v1/control/start-run" in log:
        raise CommandError("a stranger's run reached the SuperLink")


def by_courier(made: dict[str, Machine], node: "subprocess.Popen[bytes]") -> None:
    """East's node is down: its bundle comes sealed, and the aggregator hands it over itself."""
    hub, east = made["aggregator"], made["east"]
    node.terminate()
    send(f"{SRV}/keys/tokyo.seal.pub", hub, east, MAIL)
    seal = f"gdshare seal outbox/east-1 --to {MAIL}/tokyo.seal.pub --out east-1.sealed"
    east.run(seal, "engineer", SRV)
    send(f"{SRV}/east-1.sealed", east, hub, MAIL)
    opened = f"{SRV}/couriered/east/outbox"
    unseal = f"gdshare unseal {MAIL}/east-1.sealed --key keys/tokyo.seal.key --out {opened}"
    hub.run(unseal, "gdshare", SRV)
    init = f"gdshare node init /etc/gdshare-east --site east --superlink {DOOR} --no-count"
    init += f" --work {SRV}/couriered/east --user gdshare-east --state /var/lib/gdshare-east"
    made_node = hub.run(f"{init} --logs /var/log/gdshare-east --json")
    fingerprint = json.loads(made_node)["fingerprint"]
    let_in(hub, hub, fingerprint, _authority(hub), "/etc/gdshare-east")
    hub.start_unit("/etc/gdshare-east/gdshare-node.service")


def _authority(hub: Machine) -> str:
    from gdshare.deploy.certificates import (  # noqa: PLC0415
        certificate_fingerprint,
        read_certificates,
    )

    return certificate_fingerprint(read_certificates(hub.path(f"{ETC}/ca.pem"))[0])


def hold_round(hub: Machine, name: str, statuses: tuple[int, ...] = (0,)) -> dict[str, object]:
    """A round, as the SuperLink's user; returns its result."""
    command = f"gdshare aggregate --out rounds/{name} {ROUND}"
    hub.run(command, "gdshare", SRV, statuses)
    result: dict[str, object] = json.loads(hub.path(f"{SRV}/rounds/{name}/round.json").read_bytes())
    return result


def walk(made: dict[str, Machine]) -> None:
    """All of it."""
    hub = made["aggregator"]
    authority = aggregator(hub)
    fingerprints = {site: hospital(made[site], number) for number, site in enumerate(SITES)}
    trust_each_other(made, fingerprints)
    nodes: dict[str, subprocess.Popen[bytes]] = {}
    for site in SITES:
        let_in(made[site], hub, fingerprints[site]["node"], authority)
        nodes[site] = made[site].start_unit("/etc/systemd/system/gdshare-node.service")
    wait_for_nodes(hub, len(SITES))
    for site in SITES:
        made[site].run("gdshare node doctor")
    hub.run("gdshare federation doctor")
    stranger(made["stranger"], hub)
    hold_round(hub, "1")
    digest = made["north"].run("gdshare withdraw north-1 --dry-run --json", "engineer", SRV)
    withdraw = f"gdshare withdraw north-1 --digest {json.loads(digest)['digest'][:16]}"
    made["north"].run(f"{withdraw} --why 'a film was mislabelled'", "engineer", SRV)
    by_courier(made, nodes["east"])
    wait_for_nodes(hub, len(SITES))
    # 3: the round is finished, and a hospital that it waited for gave no bundle.
    hold_round(hub, "2", (0, 3))
    hub.run("gdshare trust withdrawn", "gdshare", SRV)
    hub.run("gdshare nodes remove east", "gdshare", SRV)
    hub.run("gdshare federation revoke east")
    hub.run("nginx -s reload")
    hub.run("gdshare nodes list", "gdshare", SRV)


def main() -> None:
    """Hold the walk, or say why it cannot be held here."""
    parser = argparse.ArgumentParser(prog="python -m examples.three_hospitals", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="new folder for all that is made")
    out = parser.parse_args().out.absolute()
    if reason := missing():
        print(f"three_hospitals: nothing was done: {reason}", file=sys.stderr)
        sys.exit(2)
    if out.exists() and any(out.iterdir()):
        print(f"three_hospitals: {out} is not empty; choose another --out", file=sys.stderr)
        sys.exit(2)
    began = time.monotonic()
    try:
        with machines(("aggregator", *SITES, "stranger"), out) as made:
            walk(made)
    except CommandError as error:
        print(f"three_hospitals: {error}", file=sys.stderr)
        sys.exit(4)
    for name in ("1", "2"):
        table = out / "aggregator" / "srv" / "gdshare" / "rounds" / name
        print(f"round {name}: {table}")
    print(f"done in {time.monotonic() - began:.0f} s; nothing is left running")


if __name__ == "__main__":
    main()
