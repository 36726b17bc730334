"""Where everything of a hospital's node lies, and the texts that say so."""

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from gdshare.deploy.template import fill
from gdshare.errors import UsageError
from gdshare.signing import SITE

UNIT, SETTINGS, INSTALL, COMPOSE = "gdshare-node.service", "node.toml", "install.sh", "compose.yaml"
NODE_KEY, TLS_KEY, CA = "node-key", "tls.key", "ca.pem"
PACKAGE: Final = "hospital_node"
IMAGE_BIN: Final = "/opt/gdshare/bin"
"""Where docs/deploy/Dockerfile installs gdshare."""

_WORD = re.compile(r"[A-Za-z0-9_./-]+", re.ASCII)
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}", re.ASCII)
_NETWORK = re.compile(r"[0-9A-Fa-f:.]+(/[0-9]{1,3})?", re.ASCII)


def _absolute(path: Path) -> Path:
    if not path.is_absolute() or not _WORD.fullmatch(str(path)):
        raise ValueError("write it in full, of letters, digits, dots, hyphens and underscores")
    return path


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError("write HOST:PORT, without https://")
    return text


def _network(text: str) -> str:
    if not _NETWORK.fullmatch(text):
        raise ValueError("write an address, such as 203.0.113.7")
    return text


_Path = Annotated[Path, AfterValidator(_absolute)]


class NodePlace(BaseModel):
    """One hospital's node.

    Attributes:
        site: the hospital's short name.
        superlink: the aggregator's nginx, HOST:PORT.
        folder: keys, certificates and the files of this set-up.
        work: where the hospital's outbox, cohort and list of keys lie.
        state: the node's own records.
        logs: its log.
        films: folders of the cohort's films outside ``work``.
        counts: whether films are counted.
        only_to: addresses that the node may call; empty: all.
        bin: where gdshare is installed.
        user: who runs it.
        device: where films are classified.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    site: Annotated[str, Field(pattern=f"^{SITE}$")]
    superlink: Annotated[str, AfterValidator(_address)]
    folder: _Path = Path("/etc/gdshare")
    work: _Path = Path("/srv/gdshare")
    state: _Path = Path("/var/lib/gdshare-node")
    logs: _Path = Path("/var/log/gdshare-node")
    films: tuple[_Path, ...] = ()
    counts: bool = True
    only_to: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    bin: _Path = Path("/opt/gdshare/bin")
    user: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")] = "gdshare-node"
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
        return {**{name: str(value) for name, value in self.model_dump().items()}, **own}

    def texts(self) -> Mapping[str, str]:
        """Every text of the set-up, by file name."""
        values = self.values()
        inside = fill(PACKAGE, UNIT, {**values, "bin": IMAGE_BIN})
        command = json.dumps(command_of(inside))
        return {
            UNIT: fill(PACKAGE, UNIT, values),
            SETTINGS: fill(PACKAGE, SETTINGS, values),
            INSTALL: fill(PACKAGE, "node-install.sh", values),
            COMPOSE: fill(PACKAGE, "node-compose.yaml", {**values, "command": command}),
        }


def node_place(**values: object) -> NodePlace:
    """A place of checked values.

    Raises:
        UsageError: a value that cannot be used.
    """
    try:
        return NodePlace.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        reason = first["msg"].removeprefix("Value error, ").lower()
        raise UsageError(reason, f"{option} {first['input']!s:.80}", "choose another") from error


def command_of(unit: str) -> list[str]:
    """The words that a unit starts."""
    lines = unit.replace("\\\n", " ").splitlines()
    [line] = [line for line in lines if line.startswith("ExecStart=")]
    return shlex.split(line.removeprefix("ExecStart="))


def user_of(unit: str) -> str:
    """The user as whom a unit starts it."""
    [line] = [line for line in unit.splitlines() if line.startswith("User=")]
    return line.removeprefix("User=").strip()
