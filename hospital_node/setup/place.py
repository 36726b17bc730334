"""Where everything of a hospital's node lies, and the texts that say so."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator

from gdshare.deploy.address import parse_address
from gdshare.deploy.place import AbsolutePath, Place, UserName
from gdshare.deploy.template import fill
from gdshare.deploy.unit import IMAGE_BIN, in_container
from gdshare.signing.names import SiteName

UNIT, SETTINGS, INSTALL, COMPOSE = "gdshare-node.service", "node.toml", "install.sh", "compose.yaml"
NODE_KEY, TLS_KEY, CA = "node-key", "tls.key", "ca.pem"
PACKAGE: Final = "hospital_node"

_NETWORK = re.compile(r"[0-9A-Fa-f:.]+(/[0-9]{1,3})?", re.ASCII)


def _address(text: str) -> str:
    parse_address(text, "--superlink")
    return text


def _network(text: str) -> str:
    if not _NETWORK.fullmatch(text):
        raise ValueError("write an address, such as 203.0.113.7")
    return text


class NodePlace(Place):
    """One hospital's node; outbox, cohort and list of keys lie in ``work``.

    Attributes:
        site: the hospital's short name.
        superlink: the aggregator's nginx, HOST:PORT.
        state: the node's own records.
        films: folders of the cohort's films outside ``work``.
        counts: whether films are counted.
        only_to: addresses that the node may call; empty: all.
        device: where films are classified.
    """

    site: SiteName
    superlink: Annotated[str, AfterValidator(_address)]
    state: AbsolutePath = Path("/var/lib/gdshare-node")
    logs: AbsolutePath = Path("/var/log/gdshare-node")
    films: tuple[AbsolutePath, ...] = ()
    counts: bool = True
    only_to: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    user: UserName = "gdshare-node"
    device: Literal["cpu", "cuda"] = "cpu"

    @property
    def reads(self) -> tuple[Path, ...]:
        """What the node's user reads, and nothing else of the hospital's."""
        peers = self.work / "peers"
        ledger = peers.with_name("peers-ledger.jsonl")
        of_keys = (peers, ledger, ledger.with_name(f"{ledger.name}.head"))
        counted = (self.work / "cohort", *self.films) if self.counts else ()
        return (self.work / "outbox", self.work / "outbox-announcements", *counted, *of_keys)

    def values(self) -> Mapping[str, str]:
        """What the templates want."""
        line = f'cohort = "{self.work}/cohort"'
        allowed = " ".join(self.only_to)
        closed = f"IPAddressDeny=any\nIPAddressAllow={allowed}"
        example = "#IPAddressDeny=any\n#IPAddressAllow=203.0.113.7 192.0.2.53"
        own = {
            "cohort_line": line if self.counts else f"# {line}",
            "only_to": closed if self.only_to else example,
            "private_devices": str(self.device == "cpu").lower(),
            "reads": " ".join(map(str, self.reads)),
            "volumes": "\n".join(f"      - {path}:{path}:ro" for path in self.reads),
        }
        return {**super().values(), **own}

    def texts(self) -> Mapping[str, str]:
        """Every text of the set-up, by file name."""
        values = self.values()
        inside = fill(PACKAGE, UNIT, {**values, "bin": IMAGE_BIN})
        return {
            UNIT: fill(PACKAGE, UNIT, values),
            SETTINGS: fill(PACKAGE, SETTINGS, values),
            INSTALL: fill(PACKAGE, "node-install.sh", values),
            COMPOSE: fill(PACKAGE, "node-compose.yaml", {**values, **in_container(inside)}),
        }
