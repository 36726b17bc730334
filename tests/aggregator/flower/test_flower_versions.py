"""Rounds with each minor version of Flower that gdshare knows, and with two of them at once.

A SuperLink with node keys behind the shipped nginx, two hospitals' nodes and ``gdshare aggregate``,
each with the Flower of an environment of its own.
"""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from flower_kit import flower_of, python_with_flower

from aggregator.flower.local_federation import free_ports
from aggregator.flower.release import release_of
from benchmarks.links.federation import Federation, Machine, federation
from benchmarks.links.hospitals import Hospitals, make_hospitals
from gdshare.errors import FederationError
from gdshare.flower import KNOWN, ROUTES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("nginx") is None, reason="not installed: nginx (make system)"),
]

SITES = ("north", "south")
NEIGHBOURS = list(pairwise(KNOWN))
SEEDS = iter(range(100))
Machines = dict[str, Machine]


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Machines:
    """Each minor version's environment."""
    folder = tmp_path_factory.mktemp("flowers")
    made = {minor: Machine(python=python_with_flower(minor, folder)) for minor in KNOWN}
    for minor, machine in made.items():
        assert flower_of(machine.python).startswith(f"{minor}.")
    return made


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> Hospitals:
    return make_hospitals(tmp_path_factory.mktemp("world") / "hospitals", SITES, "scattering")


@contextmanager
def connected(
    folder: Path, hospitals: Hospitals, aggregator: Machine, nodes: Machine
) -> Iterator[Federation]:
    """A SuperLink with one Flower, and nodes that are connected to it with another."""
    port, door = free_ports(2)
    with federation(folder, hospitals, aggregator, port, door) as made:
        for site in SITES:
            made.start_node(site, nodes)
        made.wait_for_nodes()
        yield made


def closed(made: Federation, name: str) -> set[str]:
    """Hold a round; returns the sites of which test films were counted in it."""
    seed = str(next(SEEDS))
    out = made.folder / name
    result = json.loads(made.aggregate(out, "--seed", seed, "--ensemble", "1", "--json"))
    assert result["missing"] == []
    return set(result["bundles"]) & set(result["test"])


def called(made: Federation) -> set[str]:
    """The addresses that came to the door."""
    log = (made.folder / "access.log").read_text(encoding="utf-8")
    return set(re.findall(r'"POST (\S+) HTTP', log))


@pytest.mark.parametrize("minor", KNOWN)
def test_round_closes_and_nodes_call_the_nine_routes(
    tmp_path: Path, hospitals: Hospitals, machines: Machines, minor: str
) -> None:
    with connected(tmp_path, hospitals, machines[minor], machines[minor]) as made:
        link = made.superlink
        told = release_of(link.address, link.insecure, link.root_certificates)
        assert told == flower_of(machines[minor].python)
        assert closed(made, "round") == set(SITES)
        made.stop_nodes()
        assert called(made) == {f"/v1/fleet/{route}" for route in ROUTES}


@pytest.mark.parametrize(("older", "newer"), NEIGHBOURS)
def test_round_closes_with_a_superlink_that_is_ahead_of_the_nodes(
    tmp_path: Path, hospitals: Hospitals, machines: Machines, older: str, newer: str
) -> None:
    with connected(tmp_path, hospitals, machines[newer], machines[older]) as made:
        assert closed(made, "round") == set(SITES)


@pytest.mark.parametrize(("older", "newer"), NEIGHBOURS)
def test_round_closes_with_a_superlink_that_is_behind_the_nodes(
    tmp_path: Path, hospitals: Hospitals, machines: Machines, older: str, newer: str
) -> None:
    with connected(tmp_path, hospitals, machines[older], machines[newer]) as made:
        assert closed(made, "round") == set(SITES)


@pytest.mark.parametrize(("older", "newer"), NEIGHBOURS)
def test_superlink_is_upgraded_under_its_nodes_and_does_not_go_back(
    tmp_path: Path, hospitals: Hospitals, machines: Machines, older: str, newer: str
) -> None:
    with connected(tmp_path, hospitals, machines[older], machines[older]) as made:
        made.aggregator = machines[newer]  # installed, and the SuperLink not restarted
        with pytest.raises(FederationError, match="restart the SuperLink"):
            made.aggregate(tmp_path / "early")

        made.servers.stop()
        made.start_superlink()
        made.start_door()
        assert closed(made, "round") == set(SITES), "nodes came back and needed no registration"

        made.servers.stop()
        made.aggregator = machines[older]
        with pytest.raises(FederationError, match="ended with status 1"):
            made.start_superlink()
        log = (tmp_path / "superlink.log").read_text(encoding="utf-8")
        assert "Can't locate revision" in log, "which is what docs/guide-upgrades.md says"
