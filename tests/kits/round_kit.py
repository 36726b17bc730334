"""Three hospitals with nodes in memory, and the aggregator that runs rounds with them."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from grid_kit import MemoryGrid, VirtualClock
from site_kit import NOW, make_bundle, manifest, write_files

from aggregator.flower.order import Order
from aggregator.results import RoundResult
from aggregator.round import Round
from aggregator.trust.bundle_history import ADMIT
from gdshare.bundle import Manifest
from gdshare.bundle.layout import MANIFEST
from gdshare.ledger import open_ledger, read_ledger
from gdshare.signing import fingerprint, new_key, public_pem
from gdshare.trust.key_history import DISOWN, REVOKE, from_line

SITES = ("east", "north", "west")
LISTS = ("trust", "peers")
"""Of trusted keys: the aggregator's, and that of all nodes."""


@dataclass
class World:
    """Three hospitals, their keys on both sides' lists, and the folder for the round's results."""

    folder: Path
    cohort: Path
    keys: Mapping[str, ec.EllipticCurvePrivateKey]

    def settings(self, site: str) -> dict[str, object]:
        return {
            "outbox": str(self.folder / site / "outbox"),
            "state": str(self.folder / site / "state"),
            "cohort": str(self.cohort),
            "minimum-films": 4,
            "suppress-below": 1,
            "trust": str(self.folder / "peers"),
        }

    def release(self, site: str, files: Mapping[str, bytes], name: str | None = None) -> None:
        write_files(self.folder / site / "outbox" / f"{name or site}-1", files)

    def grid(self, *sites: str) -> MemoryGrid:
        return MemoryGrid({n: self.settings(site) for n, site in enumerate(sites or SITES, 1)})

    def hold(self, grid: MemoryGrid, **changes: object) -> RoundResult:
        (self.folder / "out").mkdir()
        fields = {"sites": max(1, len(grid.settings)), "wait": 0.1, "minimum": 1, **changes}
        always = {"trust": self.folder / "trust", "ledger": self.ledger, "operator": "an operator"}
        order = Order.model_validate(always | fields)
        result = Round(grid, order, NOW, clock=VirtualClock()).run(self.folder / "out")
        assert result is not None
        return result

    @property
    def ledger(self) -> Path:
        return self.folder / "trust-ledger.jsonl"

    def refusals(self) -> list[dict[str, object]]:
        lines = (self.folder / "out" / "refusals.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]


def make_world(folder: Path, cohort: Path) -> World:
    keys = {site: new_key() for site in SITES}
    for list_name in LISTS:
        (folder / list_name).mkdir()
        for site, key in keys.items():
            (folder / list_name / f"{site}.pub").write_bytes(public_pem(key.public_key()))
    return World(folder, cohort, keys)


def released(world: World, *sites: str) -> World:
    for site in sites or SITES:
        world.release(site, make_bundle(site, world.keys[site]))
    return world


def refused_with(world: World) -> dict[object, object]:
    return {refusal["node"]: refusal["reason"] for refusal in world.refusals()}


def entries(world: World) -> list[tuple[str, str, str | None]]:
    return [(entry.act, entry.what, entry.digest) for entry in read_ledger(world.ledger)]


def again(world: World) -> None:
    """Make room for another round's results."""
    shutil.rmtree(world.folder / "out")


def newer(world: World, site: str, sequence: int, **changes: object) -> None:
    """Release another bundle in place of the site's first."""
    files = make_bundle(site, world.keys[site], manifest(site, sequence=sequence, **changes))
    shutil.rmtree(world.folder / site / "outbox")
    write_files(world.folder / site / "outbox" / f"{site}-{sequence}", files)


def in_ledger(world: World, site: str, act: str, why: str) -> None:
    """An act of the operator's about the site's first key."""
    digest = fingerprint(world.keys[site].public_key())
    with open_ledger(world.ledger) as ledger:
        ledger.write(NOW, act, "an operator", site, digest, why)


def revoke(world: World, site: str) -> None:
    in_ledger(world, site, REVOKE, "stolen")


def disown(world: World, site: str, line: int) -> None:
    in_ledger(world, site, DISOWN, from_line(line, "stolen"))


def lines(world: World, what: str, act: str = ADMIT) -> list[int]:
    """The lines on which a bundle was admitted, or had another act done to it."""
    return [
        entry.number
        for entry in read_ledger(world.ledger)
        if (entry.act, entry.what) == (act, what)
    ]


def next_round(world: World, **changes: object) -> set[str]:
    """Hold another round; returns the sites that were admitted to it."""
    again(world)
    return set(world.hold(world.grid(), ensemble=1, **changes).bundles)


def hand_out(world: World, site: str, files: Mapping[str, bytes]) -> None:
    """Replace whatever the site's node hands over with this bundle."""
    outbox = world.folder / site / "outbox"
    shutil.rmtree(outbox, ignore_errors=True)
    write_files(outbox / Manifest.from_bytes(files[MANIFEST]).name, files)


def with_new_key(
    world: World, site: str, sequence: int = 2, key: ec.EllipticCurvePrivateKey | None = None
) -> None:
    """Trust a further key of the site, which releases another bundle with it."""
    key = key or new_key()
    digits = fingerprint(key.public_key())[:16]
    for list_name in LISTS:
        path = world.folder / list_name / f"{site}.{digits}.pub"
        path.write_bytes(public_pem(key.public_key()))
    hand_out(world, site, make_bundle(site, key, manifest(site, sequence=sequence)))
