"""Rounds over poor links, and a hospital's bytes beside FedAvg of the same network.

    python -m benchmarks.links [--quick] [--json FILE]

Three hospitals and an aggregator in network namespaces, with TLS, node keys and the shipped nginx.
The link of one hospital is poor, and its bytes are counted at its interface, headers, handshakes,
polling and heartbeats included, from the command that starts a round to its end. FedAvg sends
weights only and trains nothing, over TLS, by Flower's own nodes. A round trains one network and not
five (--ensemble 1): bundles travel, and each hospital trains from them. Needs root.
"""

from dataclasses import asdict

from benchmarks.command import one_line_errors, parser, say, write_figures
from benchmarks.links.hospitals import Trained
from benchmarks.links.measure import LINKS, Outcome, measure_fedavg, measure_round
from benchmarks.links.network import impossible
from gdshare.errors import UsageError

NAME = "benchmarks.links"
NETWORKS: tuple[Trained, ...] = ("scattering", "convnet")
ROUNDS, FEW_ROUNDS = 10, 2
COLUMNS = ("what", "network", "link", "closed")
HEAD = "{:<18} {:<11} {:<14} {:<7}".format(*COLUMNS) + f" {'s':>6} {'received':>11} {'sent':>11}"


def row(outcome: Outcome) -> str:
    """A line of the table."""
    closed = "yes" if outcome.closed else "no"
    places = f"{outcome.what:<18} {outcome.network:<11} {outcome.link:<14} {closed:<7}"
    lacks = f"  lacks {', '.join(outcome.missing)}" if outcome.missing else ""
    return f"{places} {outcome.seconds:>6.0f} {outcome.received:>11,} {outcome.sent:>11,}{lacks}"


def main() -> None:
    """Measure and print."""
    command = parser(NAME, __doc__, "one network, two links, two rounds of FedAvg")
    options = command.parse_args()
    with one_line_errors():
        if why := impossible():
            raise UsageError(f"no poor links can be made here: {why}")
        outcomes: list[Outcome] = []

        def add(outcome: Outcome) -> None:
            outcomes.append(outcome)
            say(row(outcome))

        quick = options.quick
        rounds = FEW_ROUNDS if quick else ROUNDS
        networks = NETWORKS[:1] if quick else NETWORKS
        for network in networks:
            add(measure_round(network, LINKS[0]))
            add(measure_fedavg(network, LINKS[0], rounds))
        for link in LINKS[1:2] if quick else LINKS[1:]:
            add(measure_round(NETWORKS[0], link))
        if not quick:
            for network in networks:
                add(measure_fedavg(network, LINKS[1], rounds))
        print(HEAD)
        for outcome in outcomes:
            print(row(outcome))
        write_figures(options.json, NAME, {"outcomes": [asdict(outcome) for outcome in outcomes]})


if __name__ == "__main__":
    main()
