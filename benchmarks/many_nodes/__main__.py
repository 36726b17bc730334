"""A round of many hospitals as real processes on one machine: does it close, what does it take?

    python -m benchmarks.many_nodes [--sites 100] [--bundles 8] [--at-once 3] [--warm] [--quick]

A SuperLink with TLS, node keys and ``--database``, the shipped nginx, ``gdshare aggregate``, and a
``hospital_node`` for each site, all of which wait and answer side by side. Bundles are drawn
(scattering, three images of 32 px), films are phantoms: 6 for validation and 6 for test. Every
answer is computed as at a hospital, by a process of its own that loads torch (2 CPU-seconds,
350 MB of its own): of these ``--at-once`` run at a time, the others wait for their turn. With
``--warm`` they are forked from a process that has loaded it. Of the sites, ``--bundles`` have
released a bundle; the others are asked for theirs, and have none. Of more than eight bundles,
judges count films enough to see that drawn ones teach nothing, and they are quarantined.
"""

import json
import ssl
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from flwr.proto.control_pb2 import RegisterNodeRequest
from flwr.supercore.control.control_http_client import ControlHttpClient
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from aggregator.flower.local_federation import free_ports
from benchmarks.command import one_line_errors, parser, say, write_figures
from benchmarks.links.federation import Federation, Machine, federation
from benchmarks.links.hospitals import make_hospitals
from benchmarks.many_nodes.node import AT_ONCE, TURNS, WARM
from benchmarks.many_nodes.watch import Watch, marked, table
from gdshare.errors import FederationError

NAME = "benchmarks.many_nodes"
SITES, BUNDLES, QUICK, SLOTS = 100, 8, 5, 3
LIMIT_S = 5400
START_S = 300
CONNECTED = "connected to"
ENDED = (0, 3)
"""3: the round is finished, and hospitals that were connected gave no bundle."""


@dataclass(frozen=True)
class WaitingMachine(Machine):
    """A machine whose nodes take turns to compute."""

    def module(self, name: str, *words: str) -> list[str]:
        """A module of ours; of a node the one whose answering processes wait for their turn."""
        return super().module(
            "benchmarks.many_nodes.node" if name == "hospital_node" else name, *words
        )


def hold_round(
    folder: Path, sites: int, bundles: int, at_once: int, warm: bool
) -> dict[str, object]:
    """Set everything up, hold one round, and take everything down.

    Args:
        folder: a new one.
        sites: how many hospitals, each with a node.
        bundles: how many of them have released a bundle.
        at_once: how many answering processes there may be at a time.
        warm: fork them from a process that has loaded torch.

    Raises:
        FederationError: a part did not start, or the round did not close.
    """
    names = [f"site-{number:03}" for number in range(1, sites + 1)]
    turns = folder / "turns"
    turns.mkdir(parents=True)
    hospitals = make_hospitals(folder / "hospitals", names[:bundles], "scattering")
    for name in names[bundles:]:
        hospitals.outbox(name).mkdir(parents=True)
    hospitals = replace(hospitals, sites=tuple(names))
    [port, door] = free_ports(2)
    began = time.monotonic()
    place = folder / "federation"
    with federation(place, hospitals, Machine(), port, door, registered=False) as made:
        _register(made)
        say(f"{sites} nodes registered after {time.monotonic() - began:.0f} s")
        watch = Watch(
            lambda: marked({group.mark for group in (made.servers, *made.nodes.values())})
        )
        with watch.looking():
            more = {TURNS: str(turns), AT_ONCE: str(at_once)}
            if warm:
                more[WARM] = str(_start_warm(made))
            began = time.monotonic()
            for name in names:
                made.start_node(name, WaitingMachine(), more)
            _wait_for_all(made)
            connecting = time.monotonic() - began
            say(f"all connected after {connecting:.0f} s")
            seconds, out = _round(made, bundles)
        print(table(watch))
    result = json.loads((out / "round.json").read_bytes())
    return {
        "sites": sites,
        "released": bundles,
        "at_once": at_once,
        "warm": warm,
        "connecting_s": round(connecting, 1),
        "seconds": round(seconds, 1),
        "bundles": len(result["bundles"]),
        "counted_test_films": len(result["test"]),
        "missing": result["missing"],
        "usage": {kind: asdict(usage) for kind, usage in watch.usage.items()},
        "all_mb": round(watch.all_mb),
    }


def _register(made: Federation) -> None:
    """Register every node's key, in one process: Flower's command takes seconds for each."""
    trusted = ssl.create_default_context(cafile=str(made.folder / "ca.pem"))
    client = ControlHttpClient(f"https://{made.superlink.address}", verify=trusted)
    for site in made.hospitals.sites:
        key = load_ssh_public_key((made.folder / f"{site}.node.pub").read_bytes())
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise FederationError("is not a node's key", made.folder / f"{site}.node.pub")
        client.RegisterNode(RegisterNodeRequest(public_key=public_key_to_bytes(key), name=site))
    client.close()


def _start_warm(made: Federation) -> Path:
    """Start the process that answering processes are forked from; returns its socket."""
    path = made.folder / "warm.sock"
    command = Machine().module("benchmarks.many_nodes.warm", str(path))
    made.servers.start(command, made.environment(), made.folder / "warm.log")
    made.until(path.exists, made.servers)
    return path


def _wait_for_all(made: Federation) -> None:
    """Wait until the log of every node says that it is connected."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        logs = [log.read_text(encoding="utf-8", errors="replace") for log in made.logs.values()]
        if all(CONNECTED in log for log in logs):
            return
        time.sleep(1.0)
    raise FederationError(f"not all nodes connected in {START_S} s", made.folder, "see the logs")


def _round(made: Federation, bundles: int) -> tuple[float, Path]:
    out, log = made.folder / "round", made.folder / "aggregate.log"
    command = made.round_command(
        out,
        *("--ensemble", "1", "--minimum", str(bundles)),
        *("--timeout", str(LIMIT_S), "--deadline", str(LIMIT_S)),
    )
    began = time.monotonic()
    with log.open("wb") as stream:
        ended = subprocess.run(
            command,
            env=made.environment(),
            cwd=made.folder,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=LIMIT_S,
        )
    if ended.returncode not in ENDED:
        raise FederationError(f"the round ended with status {ended.returncode}", log, "see there")
    return time.monotonic() - began, out


def main() -> None:
    """Measure and print."""
    command = parser(NAME, __doc__, f"{QUICK} sites")
    command.add_argument("--sites", type=int, default=SITES, help="(default %(default)s)")
    command.add_argument("--bundles", type=int, default=BUNDLES, help="(default %(default)s)")
    command.add_argument("--at-once", type=int, default=SLOTS, help="(default %(default)s)")
    command.add_argument("--warm", action="store_true", help="fork what answers, with torch loaded")
    command.add_argument("--keep", type=Path, metavar="DIR", help="keep logs and the round there")
    options = command.parse_args()
    with one_line_errors(), tempfile.TemporaryDirectory(prefix="gdshare-many-") as temporary:
        folder = options.keep or Path(temporary) / "many"
        sites = QUICK if options.quick else options.sites
        figures = hold_round(
            folder.absolute(), sites, min(options.bundles, sites), options.at_once, options.warm
        )
        for name in ("sites", "released", "bundles", "counted_test_films", "seconds"):
            print(f"{name.replace('_', ' '):24}{figures[name]:>9}")
        print(f"missing: {figures['missing'] or 'nothing'}")
        write_figures(options.json, NAME, figures)


if __name__ == "__main__":
    main()
